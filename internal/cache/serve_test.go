package cache_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headwater/internal/cache"
	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nix/narinfo"
	"headwater/internal/store/storetest"
)

// answerTo makes a request without the conveniences of http.Client.
func answerTo(t *testing.T, method, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func TestServe(t *testing.T) {
	s := storetest.Open(t, storetest.Dir(t))
	p := install(t, s, "p", "content "+noise(6, 600_000))
	drvPath := nix.StorePath("/nix/store/00000000000000000000000000000000-p.drv")
	logFile := filepath.Join(t.TempDir(), "log")
	write(t, []byte("built\n"), logFile)
	key, public := newKey(t, "cache.example-1")
	url := serve(t, cache.Handler(cache.ServeOptions{Store: s, Key: &key, Log: func(d nix.StorePath) string {
		if d == drvPath {
			return logFile
		}
		return filepath.Join(t.TempDir(), "none")
	}})).URL
	var whole bytes.Buffer
	if err := nar.Dump(&whole, s.RealPath(p)); err != nil {
		t.Fatal(err)
	}
	all := whole.Bytes()

	resp, text := answerTo(t, "GET", url+"/"+p.Digest()+".narinfo")
	info, err := narinfo.Parse(text)
	if err != nil || resp.StatusCode != 200 || info.Path != p || len(info.SignedBy([]narinfo.PublicKey{public})) != 1 {
		t.Fatalf("narinfo: %v, %v, %+v", err, resp.Status, info)
	}
	packed := url + "/" + info.URL
	plain := strings.TrimSuffix(packed, ".zst")
	last := len(all) - 1
	for _, c := range []struct {
		name, method, url string
		header            []string
		status            int
		body              string // "": not looked at
		want              []string
	}{
		{"cache info", "GET", url + "/nix-cache-info", nil, 200, "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n", nil},
		{"cache info's head", "HEAD", url + "/nix-cache-info", nil, 200, "", nil},
		{"narinfo's head", "HEAD", url + "/" + p.Digest() + ".narinfo", nil, 200, "", []string{"Content-Length", fmt.Sprint(len(text))}},
		{"narinfo of nothing", "GET", url + "/" + strings.Repeat("0", 32) + ".narinfo", nil, 404, "", nil},
		{"narinfo of a pattern", "GET", url + "/%25.narinfo", nil, 404, "", nil},
		{"NAR", "GET", plain, nil, 200, string(all), []string{"Content-Length", fmt.Sprint(len(all)), "Accept-Ranges", "bytes"}},
		{"NAR's head", "HEAD", plain, nil, 200, "", []string{"Content-Length", fmt.Sprint(len(all))}},
		{"compressed NAR", "GET", packed, nil, 200, "zstd", []string{"Content-Length", "", "Content-Encoding", ""}},
		{"NAR compressed on the way", "GET", plain, []string{"Accept-Encoding", "gzip, zstd;q=0.5"}, 200, "zstd", []string{"Content-Encoding", "zstd"}},
		{"NAR not compressed on the way", "GET", plain, []string{"Accept-Encoding", "gzip, zstd;q=0"}, 200, string(all), []string{"Content-Encoding", ""}},
		{"a range", "GET", plain, []string{"Range", "bytes=100-300099", "Accept-Encoding", "zstd"}, 206, string(all[100:300100]), []string{"Content-Range", fmt.Sprintf("bytes 100-300099/%d", len(all)), "Content-Encoding", ""}},
		{"from somewhere", "GET", plain, []string{"Range", fmt.Sprintf("bytes=%d-", last)}, 206, string(all[last:]), nil},
		{"the last bytes", "GET", plain, []string{"Range", "bytes=-5"}, 206, string(all[len(all)-5:]), nil},
		{"more than there is", "GET", plain, []string{"Range", "bytes=0-99999999"}, 206, string(all), nil},
		{"past the end", "GET", plain, []string{"Range", fmt.Sprintf("bytes=%d-", len(all))}, 416, "", []string{"Content-Range", fmt.Sprintf("bytes */%d", len(all))}},
		{"no range", "GET", plain, []string{"Range", "bytes=5-1"}, 200, string(all), nil},
		{"ranges", "GET", plain, []string{"Range", "bytes=0-1,3-4"}, 200, string(all), nil},
		{"NAR of another hash", "GET", url + "/nar/" + p.Digest() + "-" + strings.Repeat("0", 52) + ".nar", nil, 404, "", nil},
		{"NAR of nothing", "GET", url + "/nar/x.nar", nil, 404, "", nil},
		{"path out of the store", "GET", url + "/nar/%2e%2e%2fnix-cache-info", nil, 404, "", nil},
		{"log", "GET", url + "/log/" + drvPath.Base(), nil, 200, "built\n", nil},
		{"log of nothing", "GET", url + "/log/" + p.Base() + ".drv", nil, 404, "", nil},
		{"log of no derivation", "GET", url + "/log/" + p.Base(), nil, 404, "", nil},
		{"writing", "PUT", plain, nil, 405, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := answerTo(t, c.method, c.url, c.header...)
			if resp.StatusCode != c.status {
				t.Fatalf("status %s, want %d", resp.Status, c.status)
			}
			if c.body == "zstd" {
				body, c.body = unpack(t, body), string(all)
			}
			if c.body != "" && c.body != string(body) {
				t.Errorf("body of %d bytes is not the wanted one of %d", len(body), len(c.body))
			}
			for i := 0; i < len(c.want); i += 2 {
				if got := resp.Header.Get(c.want[i]); got != c.want[i+1] {
					t.Errorf("%s is %q, want %q", c.want[i], got, c.want[i+1])
				}
			}
		})
	}
	// What is no longer what was registered does not arrive whole.
	if err := os.Remove(filepath.Join(s.RealPath(p), "bin/x")); err != nil {
		if err = os.Chmod(filepath.Join(s.RealPath(p), "bin"), 0o755); err == nil {
			err = os.Remove(filepath.Join(s.RealPath(p), "bin/x"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range []string{plain, packed} {
		resp, err := http.Get(u)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: what is gone was served whole", u)
		}
	}
}

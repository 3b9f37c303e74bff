package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"headwater/internal/lock"
	"headwater/internal/proof"
	"headwater/internal/recipe"
)

// odd is a small service that does what goes wrong: greets over HTTP, and does what the variables say. It is process 1.
const odd = `#!/usr/bin/perl
use strict; use warnings; use IO::Socket::INET; use POSIX ();
$| = 1;
my $do = $ENV{DO} // '';
if (($ARGV[0] // '') eq 'migrate') {
    print "migrating\n";
    if ($do eq 'migration') { print STDERR "django.db.utils.ProgrammingError: column \"kind\" of relation \"event\" contains null values\n"; exit 1 }
    sleep 600 if $do eq 'slow migration';
    if ($do eq 'old data' and -e '/data/release-0.9') { print STDERR "could not create unique index \"event_kind\"\n"; exit 1 }
    if ($do eq '') { open my $f, '>', '/data/release-0.9' or die }
    if (-e '/data/migrated') { print "nothing to do\n"; exit($do eq 'second migration' ? 4 : 0) }
    open my $f, '>', '/data/migrated' or die "open /data/migrated: $!\n";
    exit 0;
}
$SIG{TERM} = $do =~ /deaf/ ? 'IGNORE' : sub { print "ending\n"; exit($do eq 'ends badly' ? 9 : 0) };
$SIG{TERM} = sub { print "ending\n"; sleep 600 while 1 } if $do eq 'ends slowly';
$SIG{TERM} = sub { POSIX::_exit(2) } if $do eq 'does as Go does';
if ($do eq 'variable') { print STDERR "KeyError: 'ODD_SECRET_KEY'\n"; exit 1 }
if ($do eq 'library') { print STDERR "/app/odd: error while loading shared libraries: libodd.so.5: cannot open shared object file: No such file or directory\n"; exit 127 }
if ($do eq 'module') { print STDERR "Traceback (most recent call last):\n  File \"/app/odd\", line 1\nModuleNotFoundError: No module named 'oddity'\n"; exit 1 }
if ($do eq 'file') { open my $f, '<', '/app/templates/page.html' or die "open /app/templates/page.html: $!\n" }
if ($do eq 'forks away') { exit 0 if fork; POSIX::setsid() }
if ($do eq 'leaves one behind') { if (!fork) { POSIX::setsid(); $SIG{TERM} = 'IGNORE'; sleep 600 while 1 } }
if ($do eq 'prints') { my $line = 'x' x 1000 . "\n"; print $line while 1 }
if ($do eq 'multiplies') { for (1 .. 200) { if (!fork) { sleep 600 while 1 } } }
if ($do eq 'grows') { my @a; push @a, 'x' x (1 << 20) while 1 }
if ($do eq 'read-only') { open my $f, '>', '/app/cache' or print STDERR "warning: open /app/cache: $!\n" }
if ($do eq 'fills') { fill('/data/fill') }
if ($do eq 'fills tmp') { fill('/tmp/fill') }
sub fill { open my $f, '>', $_[0] or die; while (1) { syswrite $f, 'x' x (1 << 20) or select undef, undef, undef, 0.05 } }
print "password $ENV{ODD_PASSWORD} was refused\n" if $do eq 'secret';
print "2026-01-01 ERROR odd: it went wrong\n" if $do eq 'error';
my $port = $do eq 'port' ? 8422 : $ENV{PORT} // 8421;
my $server = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $port, Listen => 16, ReuseAddr => 1) or die "listen: $!\n";
my $second = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $port, Listen => 16) if $do eq 'clash';
die "bind 0.0.0.0:8421: $!\n" if $do eq 'clash' and !$second;
if ($do eq 'dies') { $SIG{ALRM} = sub { print STDERR "lost the database\n"; POSIX::_exit(3) }; alarm 5 }
if ($do eq 'deaf and busy') { $SIG{ALRM} = sub { print "busy\n"; alarm 1 }; alarm 1 }
while (1) {
    my $client = $server->accept or next;
    my (undef, $path) = split ' ', <$client> // next;
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?\n$/ }
    my ($status, $body) = ('200 OK', '<title>odd</title><link rel="stylesheet" href="style.css"><link rel="manifest" href="/missing"><p>odd</p>');
    ($status, $body) = ('404 Not Found', 'no') if $path eq '/style.css' and $do eq 'asset' or $path eq '/missing';
    ($status, $body) = ('503 Service Unavailable', 'not yet') if $do eq 'never ready' and $path eq '/health';
    exit 3 if $do eq 'closes' and $path eq '/';
    my $type = $path eq '/style.css' ? 'text/css' : 'text/html';
    print $client "HTTP/1.1 $status\r\nContent-Type: $type\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
}
`

const oddRecipe = `headwater: 1
name: odd
release: "1"
roots:
  base: {suites: [trixie], packages: []}
components:
  hello: {ecosystem: plain, root: base, src: [odd]}
package:
  root: base
  layout: {/app: hello}
  command: [/app/odd]
  volumes: [/data]
  env: {DO: ""}
  secrets: [ODD_PASSWORD]
  migrate: [migrate]
  processes:
    web: {args: [serve], port: 8421, health: /health}
`

// lockOf is the lock of a recipe without anything of others, made of roots that the examples and package run's tests have pinned.
func lockOf(t *testing.T, text string) []byte {
	t.Helper()
	r, err := recipe.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	locks := [3]*lock.File{}
	for i, dir := range []string{"examples/hello", "examples/homelab/gatehouse", "internal/run/testdata"} {
		data, err := os.ReadFile("../../" + dir + "/" + lockFile)
		if err == nil {
			locks[i], err = lock.Parse(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	made := locks[0]
	if made.Recipe, err = r.Pinned(); err != nil {
		t.Fatal(err)
	}
	nothing := made.Components["hello"]
	clear(made.Components)
	for name := range r.Components {
		made.Components[name] = nothing
	}
	for name := range r.Roots {
		for _, other := range locks[1:] {
			if root, ok := other.Roots[name]; ok && name != "base" {
				made.Roots[name] = root
			}
		}
	}
	data, err := made.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newOdd writes the odd service's project folder.
func newOdd(t *testing.T, edit func(string) string) string {
	t.Helper()
	text := oddRecipe
	if edit != nil {
		text = edit(text)
	}
	dir := t.TempDir()
	for name, data := range map[string]string{recipeFile: text, lockFile: string(lockOf(t, text)), "odd": odd} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// verification is what headwater verify came to.
type verification struct {
	exit   int
	record proof.Record
	stderr string
	took   time.Duration
}

// first is the first check that failed.
func (v verification) first() proof.Check {
	if list := v.record.Failed(); len(list) > 0 {
		return list[0]
	}
	return proof.Check{Name: "none", Failure: &proof.Failure{}}
}

func runVerify(t *testing.T, args ...string) verification {
	t.Helper()
	return runVerifyIn(t, filepath.Join(t.TempDir(), "work"), args...)
}

func runVerifyIn(t *testing.T, work string, args ...string) verification {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	cmd := headwater(ctx, t, append([]string{"verify", "--json", "--store", sharedStore(t), "--work", work, "--settle", "1s"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	v := verification{stderr: errs.String(), took: time.Since(start)}
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	v.exit = cmd.ProcessState.ExitCode()
	var result struct{ Proof proof.Record }
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &result); err != nil {
			t.Fatalf("%v in %s", err, out.String())
		}
	}
	v.record = result.Proof
	for _, pid := range processesOf(t, work) {
		t.Errorf("process %s is left", pid)
	}
	return v
}

func TestVerifyProvesWhatWorks(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "proof.json")
	v := runVerify(t, "--proof", file, "-e", "DO=leaves one behind", newOdd(t, nil))
	if v.exit != 0 || !v.record.Passed {
		t.Fatalf("exit %d: %+v\n%s", v.exit, v.first().Failure, v.stderr)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := proof.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if page, err := os.ReadFile(strings.TrimSuffix(file, ".json") + ".html"); err != nil || !bytes.Contains(page, []byte("odd 1 is proven")) {
		t.Errorf("the page: %v %s", err, page)
	}
	var names []string
	for _, c := range r.Checks {
		names = append(names, string(c.Stage)+" "+c.Kind)
	}
	const want = "start migrate, start health, checks request, checks process, re-migrate migrate, stop stop, restart health, restart request, audit audit, audit audit, audit audit"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("checked %s\nwant    %s", got, want)
	}
	if len(r.Processes) != 1 || r.Processes[0].PeakMemory == 0 || r.Processes[0].Ready == 0 || r.Processes[0].Starts != 2 || *r.Processes[0].StopStatus != 0 {
		t.Errorf("processes: %+v", r.Processes)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no sign-in was tried") {
		t.Errorf("notes: %q", r.Notes)
	}
}

// Each package builds and is broken at run time. The first failure names the check, and the likely cause with the recipe's key.
func TestVerifyFindsWhatIsBroken(t *testing.T) {
	for _, c := range []struct {
		do, check, class, change string
		args                     []string
		edit                     func(string) string
	}{
		{do: "never ready", check: "web is healthy", class: "health", change: "package.processes.web.health", args: []string{"--wait", "3s"}},
		{do: "port", check: "web is healthy", class: "port", change: "package.processes.web.port", args: []string{"--wait", "3s"}},
		{do: "port", check: "web listens", class: "port", change: "package.processes.web.port", args: []string{"--wait", "3s"}, edit: withoutHealth},
		{do: "variable", check: "web stays up", class: "unset variable", change: "package.env.ODD_SECRET_KEY"},
		{do: "library", check: "web stays up", class: "missing shared library", change: "roots.base.packages"},
		{do: "module", check: "web stays up", class: "missing module", change: "components"},
		{do: "file", check: "web stays up", class: "missing file", change: "package.layout./app"},
		{do: "clash", check: "web stays up", class: "port in use", change: "package.processes"},
		{do: "migration", check: "migrations of an empty database", class: "migration fails on the data", change: "package.migrate"},
		{do: "slow migration", check: "migrations of an empty database", args: []string{"--max-migrate", "3s"}},
		{do: "second migration", check: "migrations again, with nothing to do"},
		{do: "asset", check: "the page at / and what it loads"},
		{do: "forks away", check: "web stays up", class: "not a process that stays", change: "package.processes.web"},
		{do: "prints", check: "it keeps its limits", class: "limit", args: []string{"--max-log", "1"}},
		{do: "fills", check: "it keeps its limits", class: "limit", args: []string{"--max-data", "16"}},
		{do: "fills tmp", check: "it keeps its limits", class: "limit", change: "package.processes.web", args: []string{"--max-data", "16"}},
		{do: "closes", check: "web stays up"},
		{do: "grows", check: "it keeps its limits", class: "limit", change: "package.processes.web", args: []string{"--max-memory", "300"}},
		{do: "multiplies", check: "it keeps its limits", class: "limit", args: []string{"--max-processes", "100"}},
		{do: "deaf", check: "web ends when it is asked to", class: "signal not handled", args: []string{"--max-stop", "2s"}},
		{do: "deaf and busy", check: "web ends when it is asked to", class: "signal not handled", args: []string{"--max-stop", "2s"}},
		{do: "ends slowly", check: "web ends when it is asked to", class: "slow to end", change: "package.processes.web", args: []string{"--max-stop", "2s"}},
		{do: "ends badly", check: "web ends when it is asked to"},
		{do: "does as Go does", check: "none"},
		{do: "read-only", check: "nothing is written outside of the volumes", class: "read-only file system", change: "package.volumes"},
		{do: "secret", check: "the logs have no secrets", class: "secret in the log", change: "package.processes.web"},
		{do: "error", check: "the logs have no errors", class: "error in the log", change: "allow-logs"},
		{do: "dies", check: "web stays up", args: []string{"--settle", "30s"}},
		{do: "error", check: "none", edit: func(s string) string { return s + "allow-logs: [it went wrong]\n" }},
		{do: "secret", check: "none", edit: func(s string) string { return s + "allow-logs: ['password \\S+ was refused']\n" }},
		{do: "secret", check: "the logs have no secrets", edit: func(s string) string { return s + "allow-logs: [was refused]\n" }},
		{do: "no command", check: "web stays up", class: "missing program", change: "package.command",
			edit: func(s string) string {
				return strings.NewReplacer("[/app/odd]", "[/app/even]", "  migrate: [migrate]\n", "").Replace(s)
			}},
		{do: "no volume", check: "migrations of an empty database", class: "missing file",
			edit: func(s string) string { return strings.Replace(s, "  volumes: [/data]\n", "", 1) }},
		{do: "a request that fails", check: "page", edit: func(s string) string { return s + "checks: [{name: page, request: {path: /missing}}]\n" }},
		{do: "a value that nothing gave", check: "page", edit: func(s string) string { return s + "checks: [{name: page, request: {path: \"/${ID}\"}}]\n" }},
		{do: "never ready", check: "it keeps its limits", args: []string{"--max-time", "5s"}},
	} {
		t.Run(c.do+" "+c.check, func(t *testing.T) {
			t.Parallel()
			v := runVerify(t, append(c.args, "-e", "DO="+c.do, newOdd(t, c.edit))...)
			first := v.first()
			if first.Name != c.check {
				t.Fatalf("it says that %q failed, want %q: %+v\n%s", first.Name, c.check, first.Failure, v.stderr)
			}
			if (v.exit == exitFailed) != (c.check != "none") {
				t.Errorf("exit code %d", v.exit)
			}
			var cause proof.Cause
			if len(first.Failure.Causes) > 0 {
				cause = first.Failure.Causes[0]
			}
			if c.class != "" && cause.Class != c.class || c.change != "" && cause.Change != c.change {
				t.Errorf("the likely cause is %+v, want %s at %s; seen %q, log %q", cause, c.class, c.change, first.Failure.Seen, first.Failure.Log)
			}
			if v.took > 90*time.Second {
				t.Errorf("it took %v", v.took)
			}
			if text := fmt.Sprintf("%+v", first.Failure); c.do == "secret" && c.check != "none" && !strings.Contains(text, "‹secret›") {
				t.Errorf("the failure tells the secret, or nothing: %s", text)
			}
		})
	}
}

// withoutHealth leaves the health check out of the odd service's recipe.
func withoutHealth(text string) string { return strings.Replace(text, ", health: /health", "", 1) }

// kill kills, as soon as there are any, the processes that have both texts in their arguments.
func kill(t *testing.T, work, program string) {
	t.Helper()
	for range 600 {
		for _, pid := range processesOf(t, work) {
			b, err := os.ReadFile("/proc/" + pid + "/cmdline")
			n, numErr := strconv.Atoi(pid)
			if err == nil && numErr == nil && bytes.Contains(b, []byte(program)) && syscall.Kill(n, syscall.SIGKILL) == nil {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%s was never started", program)
}

// What a service or a check needs dies: the verdict is clear, comes soon, and nothing is left.
func TestVerifySeesWhatItNeedsDie(t *testing.T) {
	trixie := "\n  %s: {suites: [trixie%s], packages: [%s]}"
	for _, c := range []struct {
		name, program, check, seen string
		args                       []string
		edit                       func(string) string
	}{
		{"PostgreSQL", "unix_socket_directories", "postgres stays up", "it ended by itself", []string{"--settle", "5m"}, func(s string) string {
			root := fmt.Sprintf(trixie, "postgresql", ", trixie-security", "postgresql-17")
			return strings.Replace(s, "packages: []}", "packages: []}"+root, 1) + "services: {postgres: {kind: postgresql, root: postgresql}}\n"
		}},
		{"Redis", "redis.conf", "cache stays up", "it ended by itself", []string{"--settle", "5m"}, func(s string) string {
			root := fmt.Sprintf(trixie, "redis", ", trixie-security", "redis-server")
			return strings.Replace(s, "packages: []}", "packages: []}"+root, 1) + "services: {cache: {kind: redis, root: redis}}\n"
		}},
		{"MariaDB", "mariadb.sock", "db stays up", "it ended by itself", []string{"--settle", "5m"}, func(s string) string {
			root := fmt.Sprintf(trixie, "mariadb", ", trixie-security", "mariadb-client-core, mariadb-server-core")
			return strings.Replace(s, "packages: []}", "packages: []}"+root, 1) + "services: {db: {kind: mariadb, root: mariadb}}\n"
		}},
		{"Chromium", "chromium", "page", "Chromium", nil, func(s string) string {
			root := fmt.Sprintf(trixie, "chromium", "", "chromium-headless-shell, fonts-dejavu-core")
			return strings.Replace(s, "packages: []}", "packages: []}"+root, 1) +
				"browser: chromium\nchecks: [{name: page, browser: [{open: /}, {see: what is never there}]}]\n"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			work := filepath.Join(t.TempDir(), "work")
			killed := make(chan struct{})
			go func() {
				defer close(killed)
				time.Sleep(time.Second)
				kill(t, work, c.program)
			}()
			v := runVerifyIn(t, work, append(c.args, newOdd(t, c.edit))...)
			<-killed
			if first := v.first(); v.exit != exitFailed || first.Name != c.check || !strings.Contains(first.Failure.Seen, c.seen) || v.took > 2*time.Minute {
				t.Errorf("exit %d after %v, %q: %+v\n%s", v.exit, v.took, first.Name, first.Failure, v.stderr)
			}
		})
	}
}

// Whatever ends headwater itself ends all that it started.
func TestVerifyLeavesNothingWhenItIsKilled(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		work := filepath.Join(t.TempDir(), "work")
		cmd := headwater(t.Context(), t, "verify", "--store", sharedStore(t), "--work", work, "--settle", "10m", "-e", "DO=leaves one behind", newOdd(t, nil))
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(stderr)
		for said.Scan() && !strings.Contains(said.Text(), "✓ checks") {
		}
		if len(processesOf(t, work)) < 2 {
			t.Error("nothing runs")
		}
		other := headwater(t.Context(), t, "verify", "--store", sharedStore(t), "--work", work, newOdd(t, nil))
		if out, err := other.CombinedOutput(); err == nil || other.ProcessState.ExitCode() != exitInput || !strings.Contains(string(out), "another verification") {
			t.Errorf("a second one in the same folder: %v\n%s", err, out)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		for said.Scan() {
		}
		err = cmd.Wait()
		if want := exitInterrupted; signal == syscall.SIGINT && cmd.ProcessState.ExitCode() != want {
			t.Errorf("after %v: %v", signal, err)
		}
		for range 50 { // what the kernel kills is gone soon
			if len(processesOf(t, work)) == 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if left := processesOf(t, work); len(left) > 0 {
			t.Errorf("after %v processes %v are left", signal, left)
		}
		if list, err := os.ReadDir(filepath.Join(work, "volumes")); err != nil || len(list) > 0 {
			t.Errorf("after %v data is left: %v %v", signal, list, err)
		}
	}
}

// An older release's data is migrated, with data in it.
func TestVerifyUpgrades(t *testing.T) {
	old := newOdd(t, func(s string) string { return strings.Replace(s, `release: "1"`, `release: "0.9"`, 1) })
	for _, c := range []struct{ do, check string }{{"", "none"}, {"second migration", "migrations again, with nothing to do"}, {"old data", "migrations of release 0.9's data"}} {
		t.Run(c.do, func(t *testing.T) {
			t.Parallel()
			dir := newOdd(t, func(s string) string { return strings.Replace(s, `{DO: ""}`, `{DO: "`+c.do+`"}`, 1) })
			v := runVerify(t, "--from", old, dir)
			if first := v.first(); first.Name != c.check || v.record.From != "0.9" {
				t.Errorf("from %q, %q: %+v\n%s", v.record.From, first.Name, first.Failure, v.stderr)
			}
		})
	}
}

// The checks are done against a service that runs already.
func TestVerifyURL(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {})
	mux.HandleFunc("/whoami", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Authorization")) })
	server := httptest.NewServer(mux)
	defer server.Close()
	dir := newOdd(t, func(s string) string {
		return s + `checks: [{name: who, request: {path: /whoami, headers: {Authorization: "Bearer ${API_TOKEN}"}, contains: ["${API_TOKEN}"]}}, {name: more, request: {path: /more}}]` + "\n"
	})
	v := runVerify(t, "--url", server.URL+"/", "-e", "API_TOKEN=very-secret-token", dir)
	if first := v.first(); v.exit != exitFailed || len(v.record.Checks) != 3 || first.Name != "more" || v.record.URL == "" {
		t.Errorf("exit %d, %d checks, %q: %+v\n%s", v.exit, len(v.record.Checks), first.Name, first.Failure, v.stderr)
	}
	if strings.Contains(v.stderr, "very-secret-token") {
		t.Error("a secret is told")
	}
	for _, address := range []string{"", "ftp://x.example", "x.example"} {
		if v := runVerify(t, "--url", address+"?", dir); v.exit != exitInput {
			t.Errorf("--url %q: exit %d", address, v.exit)
		}
	}
}

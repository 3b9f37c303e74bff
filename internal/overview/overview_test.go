package overview_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/overview"
)

const cyclonedx = `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
	{"name":"tide","group":"@x","version":"1.0","purl":"pkg:npm/%40x/tide@1.0","licenses":[{"license":{"id":"MIT"}}],
	 "properties":[{"name":"headwater:shipped","value":"yes"},{"name":"headwater:deviation","value":"1.0 in place of 1.1"}]},
	{"name":"libc6","version":"2.41","purl":"pkg:deb/debian/libc6@2.41","licenses":[{"license":{"name":"LGPL-2.1+"}},{"license":{"name":"GPL-2"}}]},
	{"name":"gcc","purl":"pkg:deb/debian/gcc","scope":"excluded","licenses":[{"license":{"name":"GPL-3"}}]},
	{"name":"wave","purl":"pkg:npm/wave@2"},
	{"name":"web","properties":[{"name":"headwater:deviation","value":"npm x: y"}]}]}`

const spdx = `{"spdxVersion":"SPDX-2.3","packages":[
	{"name":"tide","versionInfo":"1.0","licenseDeclared":"MIT","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/tide@1.0"}],
	 "comment":"deviates from upstream's lock: 1.0 in place of 1.1\nshipped: yes"},
	{"name":"libc6","licenseDeclared":"NOASSERTION","licenseComments":"its own metadata name: LGPL-2.1+, GPL-2","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:deb/debian/libc6@2.41"}]},
	{"name":"gcc","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:deb/debian/gcc"}],"comment":"shipped: no"},
	{"name":"wave","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/wave@2"}]},
	{"name":"web","comment":"shipped: unknown"}]}`

func TestReadMaterials(t *testing.T) {
	licences := []overview.Count{{"GPL-2", 1}, {"LGPL-2.1+", 1}, {"MIT", 1}}
	kinds := []overview.Count{{"deb", 2}, {"npm", 2}}
	for _, c := range []struct {
		text string
		want overview.Materials
	}{
		{cyclonedx, overview.Materials{Format: "CycloneDX 1.6", Parts: 4, Shipped: 1, Kinds: kinds, Licences: licences, Unlicensed: 1,
			Deviations: []string{"@x/tide 1.0: 1.0 in place of 1.1", "web: npm x: y"}}},
		{spdx, overview.Materials{Format: "SPDX 2.3", Parts: 4, Shipped: 1, Kinds: kinds, Licences: licences, Unlicensed: 1, Deviations: []string{"tide 1.0: 1.0 in place of 1.1"}}},
		{`{"bomFormat":"CycloneDX"}`, overview.Materials{Format: "CycloneDX ", Kinds: []overview.Count{}, Licences: []overview.Count{}, Deviations: []string{}}},
	} {
		m, err := overview.ReadMaterials([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&c.want, m); diff != "" {
			t.Error(diff)
		}
	}
	for text, want := range map[string]string{"": "read bill of materials", "{}": "neither CycloneDX nor SPDX", `{"bomFormat":"CycloneDX","components":{}}`: "read bill of materials"} {
		if _, err := overview.ReadMaterials([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadMaterials(f *testing.F) {
	f.Add([]byte(cyclonedx))
	f.Add([]byte(spdx))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := overview.ReadMaterials(data)
		if err == nil && (m.Shipped > m.Parts || m.Unlicensed > m.Parts) {
			t.Errorf("%+v", m)
		}
	})
}

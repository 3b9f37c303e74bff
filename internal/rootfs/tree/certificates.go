package tree

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"
)

const (
	certificatesFrom = "usr/share/ca-certificates" // where ca-certificates has them, by whose choice they are
	certificatesTo   = "etc/ssl/certs"
)

// certificate is a certificate authority's.
type certificate struct {
	name string // of its file, without the ending
	file string
	pem  []byte
	der  *x509.Certificate
}

// certificates does as update-ca-certificates does where the package ca-certificates is installed: a bundle of all, a link
// to each by its name and by the hash of its subject (OpenSSL looks it up by that), and Java's keystore where
// ca-certificates-java is there to make one.
func certificates(_ context.Context, r root, packages []*unpacked) error {
	list, err := readCertificates(r)
	if err != nil || len(list) == 0 {
		return err
	}
	var bundle bytes.Buffer
	taken := map[string]int{}
	for _, c := range list {
		bundle.Write(c.pem)
		link := certificatesTo + "/" + c.name + ".pem"
		if r.taken(link) {
			return fmt.Errorf("%s: there are two of that name", link)
		}
		if err := r.link(link, c.file); err != nil {
			return err
		}
		hash, err := subjectHash(c.der)
		if err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
		if err := r.link(fmt.Sprintf("%s/%s.%d", certificatesTo, hash, taken[hash]), link); err != nil {
			return err
		}
		taken[hash]++
	}
	if err := r.write(certificatesTo+"/ca-certificates.crt", bundle.Bytes()); err != nil {
		return err
	}
	if !slices.ContainsFunc(packages, func(p *unpacked) bool { return p.name == "ca-certificates-java" }) {
		return nil
	}
	return r.write(certificatesTo+"/java/cacerts", keystore(list))
}

func readCertificates(r root) ([]certificate, error) {
	var list []certificate
	err := filepath.WalkDir(r.at(certificatesFrom), func(at string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(at, ".crt") {
			return err
		}
		rel, err := filepath.Rel(r.dir, at)
		if err != nil {
			return err
		}
		c := certificate{file: filepath.ToSlash(rel)}
		c.name = strings.TrimSuffix(path.Base(c.file), ".crt")
		data, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(data)
		if block == nil || block.Type != "CERTIFICATE" {
			return fmt.Errorf("%s: is no certificate", c.file)
		}
		if c.der, err = x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
		c.pem = pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
		list = append(list, c)
		return nil
	})
	if os.IsNotExist(err) {
		return nil, nil
	}
	slices.SortFunc(list, func(a, b certificate) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.file, b.file)) })
	return list, err
}

// subjectHash is what "openssl x509 -subject_hash" prints: the first four bytes, as a little-endian number, of the SHA-1 of
// the subject in OpenSSL's canonical form. In that the parts of the name stand without the sequence around them, their
// strings in UTF-8 and lower case (of ASCII), with single spaces and none at the ends. (X509_NAME_hash_ex(3).)
func subjectHash(c *x509.Certificate) (string, error) {
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type nameSET []attribute
	var name []nameSET
	if rest, err := asn1.Unmarshal(c.RawSubject, &name); err != nil || len(rest) > 0 {
		return "", fmt.Errorf("subject cannot be read: %w", cmp.Or(err, error(asn1.SyntaxError{Msg: "trailing data"})))
	}
	sum := sha1.New()
	for _, part := range name {
		for i := range part {
			if text, ok := directoryString(part[i].Value); ok {
				part[i].Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(canonical(text))}
			}
		}
		der, err := asn1.Marshal(part)
		if err != nil {
			return "", err
		}
		sum.Write(der)
	}
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum.Sum(nil))), nil
}

func canonical(s string) string {
	lower := func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	space := func(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }
	return strings.Map(lower, strings.Join(strings.FieldsFunc(s, space), " "))
}

// directoryString is the text of a value that has some of X.500's types of strings.
func directoryString(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	const visible, universal = 26, 28
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, visible:
		return string(v.Bytes), true
	case asn1.TagT61String: // which everybody takes for Latin-1
		runes := make([]rune, len(v.Bytes))
		for i, b := range v.Bytes {
			runes[i] = rune(b)
		}
		return string(runes), true
	case asn1.TagBMPString:
		units := make([]uint16, len(v.Bytes)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(v.Bytes[2*i:])
		}
		return string(utf16.Decode(units)), true
	case universal:
		runes := make([]rune, len(v.Bytes)/4)
		for i := range runes {
			runes[i] = rune(binary.BigEndian.Uint32(v.Bytes[4*i:]))
		}
		return string(runes), true
	}
	return "", false
}

// keystore is a Java keystore (JKS, version 2) of trusted certificates, as "keytool -importcert" would make it with the
// password that Java itself uses, "changeit"; entries are dated 1970. (sun.security.provider.JavaKeyStore.)
func keystore(list []certificate) []byte {
	const magic, version, trusted = 0xfeedfeed, 2, 2
	var b []byte
	text := func(s string) {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	for _, n := range []uint32{magic, version, uint32(len(list))} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for _, c := range list {
		b = binary.BigEndian.AppendUint32(b, trusted)
		text("debian:" + strings.ToLower(c.name) + ".pem")
		b = binary.BigEndian.AppendUint64(b, 0)
		text("X.509")
		b = binary.BigEndian.AppendUint32(b, uint32(len(c.der.Raw)))
		b = append(b, c.der.Raw...)
	}
	// The check sum is over the password in UTF-16, a phrase that only this format knows, and all that stands above.
	sum := sha1.New()
	for _, r := range "changeit" {
		sum.Write([]byte{0, byte(r)})
	}
	sum.Write([]byte("Mighty Aphrodite"))
	sum.Write(b)
	return sum.Sum(b)
}

#!/bin/sh
# Makes the certificates and, in hashes, what OpenSSL says of their subjects. Run with OpenSSL 3.
set -e
make() { # name, options of req, subject
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -days 36500 -out "$1.crt" $2 -subj "$3" 2>/dev/null
}
make Plain "" "/C=XX/O=Some Org/CN=Plain Root"
make Spaces "" "/C=XX/O=  Some   Org	with  spaces /CN= X "
make Utf8 "-utf8" "/C=XX/O=ÄÖÜ Überall/CN=Grüße"
make Several "-multivalue-rdn" "/C=XX/O=B+OU=A+CN=Z/CN=Two Values"
make Plain_Too "" "/C=XX/O=some ORG/CN=Plain root"
make Mail "" "/emailAddress=CA@MAIL.EXAMPLE/serialNumber=A 1/DC=Example/CN=Root"
for mask in T61 BMP; do
	printf '[req]\ndistinguished_name=dn\nprompt=no\nutf8=yes\nstring_mask=MASK:%s\n[dn]\nC=XX\nCN=Größe  %s\n' \
		"$(test $mask = T61 && echo 0x4 || echo 0x800)" "$mask" > conf
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -days 36500 -out $mask.crt -config conf 2>/dev/null
	rm conf
done
for f in *.crt; do echo "$(openssl x509 -in "$f" -noout -subject_hash) $f"; done > hashes

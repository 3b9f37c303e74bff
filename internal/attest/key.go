package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// The PEM types of cosign's key pairs; the second is that of its first releases.
const (
	pemEncrypted    = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemEncryptedOld = "ENCRYPTED COSIGN PRIVATE KEY"
	pemPKCS8        = "PRIVATE KEY"
	pemPublic       = "PUBLIC KEY"
)

// KeyError says that a key cannot be used. It never tells anything of the key or the password.
type KeyError struct {
	Cause string
	hint  string
}

func (e *KeyError) Error() string { return "read key: " + e.Cause }

// Hint says what to do.
func (e *KeyError) Hint() string { return e.hint }

// PublicKey is a public key, ECDSA with P-256.
type PublicKey struct {
	key *ecdsa.PublicKey
	der []byte // SubjectPublicKeyInfo
}

// ID is the SHA-256 of the key's SubjectPublicKeyInfo, in base 64, which is how cosign's bundles call a key.
func (k *PublicKey) ID() string {
	sum := sha256.Sum256(k.der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// PEM is the key as a file, as cosign.pub is.
func (k *PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: k.der})
}

// Equal tells whether two keys are the same.
func (k *PublicKey) Equal(o *PublicKey) bool { return k.key.Equal(o.key) }

// verify tells whether the key signed message: ECDSA of its SHA-256, in ASN.1.
func (k *PublicKey) verify(message, signature []byte) bool {
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(k.key, sum[:], signature)
}

// Key is a key to sign with, ECDSA with P-256. Printing it tells nothing.
type Key struct {
	private *ecdsa.PrivateKey
	public  *PublicKey
}

// String hides the key.
func (k *Key) String() string { return "key " + k.public.ID() }

// GoString hides the key.
func (k *Key) GoString() string { return k.String() }

// Public is what others verify by.
func (k *Key) Public() *PublicKey { return k.public }

// Hint implements Signer.
func (k *Key) Hint() string { return k.public.ID() }

// Sign signs the SHA-256 of a message, in ASN.1. Without a random source it does it by RFC 6979: the same message has the same signature.
func (k *Key) Sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	sig, err := k.private.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

// ParseKey reads a private key in PEM: cosign's own, encrypted by the password, or PKCS #8 without one. The error is a *KeyError.
func ParseKey(data []byte, password string) (*Key, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, &KeyError{"it is no PEM", "give a private key as cosign generate-key-pair makes it, or PKCS #8 in PEM"}
	}
	der := block.Bytes
	switch block.Type {
	case pemPKCS8:
	case pemEncrypted, pemEncryptedOld:
		var err error
		if der, err = encrypted.Decrypt(der, []byte(password)); err != nil {
			return nil, &KeyError{"the password does not open it, or the file is damaged", "set COSIGN_PASSWORD to the password of the key"}
		}
	case pemPublic:
		return nil, &KeyError{"it is a public key", "give the private one"}
	default:
		return nil, &KeyError{fmt.Sprintf("PEM of type %q", block.Type), "give a private key as cosign generate-key-pair makes it, or convert it: openssl pkcs8 -topk8 -nocrypt"}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, &KeyError{"it is no PKCS #8", "give a private key as cosign generate-key-pair makes it, or convert it: openssl pkcs8 -topk8 -nocrypt"}
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, otherKind(parsed)
	}
	public, err := newPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Key{private, public}, nil
}

// ParsePublicKey reads a public key in PEM, such as cosign.pub. The error is a *KeyError.
func ParsePublicKey(data []byte) (*PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemPublic {
		return nil, &KeyError{"it is no public key in PEM", "give a public key as cosign generate-key-pair or cosign public-key makes it"}
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, &KeyError{"it is no public key", "give a public key as cosign generate-key-pair or cosign public-key makes it"}
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, otherKind(parsed)
	}
	return newPublicKey(key)
}

func newPublicKey(key *ecdsa.PublicKey) (*PublicKey, error) {
	if key.Curve != elliptic.P256() {
		return nil, otherKind(key)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, &KeyError{"it is no public key", ""}
	}
	return &PublicKey{key, der}, nil
}

func otherKind(key any) error {
	kind := fmt.Sprintf("%T", key)
	if k, ok := key.(*ecdsa.PublicKey); ok {
		kind = "ECDSA with " + k.Curve.Params().Name
	}
	return &KeyError{"it is of another kind (" + kind + ")", "ECDSA with P-256 is what is signed with: cosign generate-key-pair"}
}

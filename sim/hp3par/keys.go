package hp3par

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

const rsaBits = 2048

// loadKey reads a PEM key, or makes it with create and writes it, so that a
// simulator started again in the same directory is recognised by its clients.
func loadKey(path string, create func() (*pem.Block, error)) (ssh.Signer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		block, err := create()
		if err != nil {
			return nil, err
		}
		data = pem.EncodeToMemory(block)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return signer, nil
}

// newRSA makes an RSA key in the old PEM form, which every client reads.
func newRSA() (*pem.Block, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, err
	}
	return &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}, nil
}

func newEd25519() (*pem.Block, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return ssh.MarshalPrivateKey(key, "")
}

// hostKeys returns the array's two host keys.
func hostKeys(dir string, index int) ([]ssh.Signer, error) {
	var keys []ssh.Signer
	for _, k := range []struct {
		name   string
		create func() (*pem.Block, error)
	}{{"rsa", newRSA}, {"ed25519", newEd25519}} {
		signer, err := loadKey(filepath.Join(dir, fmt.Sprintf("array%d_host_%s_key", index+1, k.name)), k.create)
		if err != nil {
			return nil, fmt.Errorf("host key: %w", err)
		}
		keys = append(keys, signer)
	}
	return keys, nil
}

// writeKnownHosts writes the file that a client checks the array's keys with.
func writeKnownHosts(path, address string, keys []ssh.Signer) error {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(knownhosts.Line([]string{knownhosts.Normalize(address)}, k.PublicKey()) + "\n")
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

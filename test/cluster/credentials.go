package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// The files that the API server reads.
const (
	certificateFile = "apiserver.crt"
	keyFile         = "apiserver.key"
	tokenFile       = "tokens.csv"
)

// writeCredentials makes what server and clients know each other by. One key serves for TLS and for the tokens of service
// accounts, and its certificate is its own authority: the cluster lives for some seconds and has one user.
func (c *Cluster) writeCredentials() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "lateen test cluster"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.ParseIP(loopback)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	c.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	c.Token = rand.Text()
	for name, content := range map[string][]byte{
		certificateFile: c.CA,
		keyFile:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
		tokenFile:       fmt.Appendf(nil, "%s,admin,admin,system:masters\n", c.Token),
	} {
		if err := os.WriteFile(c.file(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeKubeconfig writes the file as JSON, which is YAML as well.
func (c *Cluster) writeKubeconfig() error {
	type object = map[string]any
	const name = "lateen-test"
	content, err := json.MarshalIndent(object{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name,
		"clusters":        []any{object{"name": name, "cluster": object{"server": c.URL, "certificate-authority-data": c.CA}}},
		"users":           []any{object{"name": name, "user": object{"token": c.Token}}},
		"contexts":        []any{object{"name": name, "context": object{"cluster": name, "user": name}}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.Kubeconfig, content, 0o600)
}

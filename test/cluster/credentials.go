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
	"strings"
	"time"
)

// The files that the servers read.
const (
	certificateFile = "apiserver.crt"
	keyFile         = "apiserver.key"
	tokenFile       = "tokens.csv"
)

// users are those that tokens are made for, by the names of the programs that use them. The administrator is nobody's
// program. What controller-manager and scheduler may do is in the API server's own RBAC roles for these users.
var users = []struct{ program, user, groups string }{
	{program: "", user: "admin", groups: "system:masters"},
	{program: controllerManagerProgram, user: "system:kube-controller-manager"},
	{program: schedulerProgram, user: "system:kube-scheduler"},
	{program: kwokProgram, user: "kwok", groups: "system:masters"}, // plays all kubelets
}

// writeCredentials makes what servers and clients know each other by. One key serves for TLS and for the tokens of
// service accounts, and its certificate is its own authority: the cluster is on loopback and has one user.
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
		NotAfter:              now.AddDate(1, 0, 0),
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
	c.tokens = map[string]string{}
	var table strings.Builder
	for _, u := range users {
		c.tokens[u.program] = rand.Text()
		fmt.Fprintf(&table, "%s,%s,%s,%q\n", c.tokens[u.program], u.user, u.user, u.groups)
	}
	c.Token = c.tokens[""]
	for name, content := range map[string]string{
		certificateFile: string(c.CA),
		keyFile:         string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})),
		tokenFile:       table.String(),
	} {
		if err := os.WriteFile(c.file(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeKubeconfig writes a file for whom the token belongs to. It is JSON, which is YAML as well.
func (c *Cluster) writeKubeconfig(file, token string) error {
	type object = map[string]any
	const name = "lateen-test"
	content, err := json.MarshalIndent(object{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name,
		"clusters": []any{
			object{"name": name, "cluster": object{"server": c.URL, "certificate-authority-data": c.CA}},
		},
		"users":    []any{object{"name": name, "user": object{"token": token}}},
		"contexts": []any{object{"name": name, "context": object{"cluster": name, "user": name}}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}

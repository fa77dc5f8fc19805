package release

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Digest identifies a set of files by name and content. It is the "h1:" hash of Go's go.sum: the SHA-256 of the list
// of files, each line being the file's own SHA-256 in hex, two spaces and its name, in the order of the names.
func Digest(files []File) string {
	lines := make([]File, len(files))
	copy(lines, files)
	slices.SortFunc(lines, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	list := sha256.New()
	for _, f := range lines {
		sum := sha256.Sum256(f.Data)
		fmt.Fprintf(list, "%s  %s\n", hex.EncodeToString(sum[:]), f.Name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(list.Sum(nil))
}

// ComputedDigest hashes all charts that the release has, as <chart>/<file>. Release.Digest quotes what the catalogue
// recorded; building and testing hold the two against each other.
func (r Release) ComputedDigest() (string, error) {
	var all []File
	for _, name := range Charts {
		files, err := r.source.chart(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		for _, f := range files {
			all = append(all, File{Name: name + "/" + f.Name, Data: f.Data})
		}
	}
	return Digest(all), nil
}

package render

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/lateen-io/lateen/internal/values"
)

// imageParts are the fields of which the charts put the names of images together: <hub>/<image>:<tag>. An image with a
// slash is the whole name.
var imageParts = [][]string{
	{"global", "hub"},
	{"global", "tag"},
	{"global", "proxy", "image"},
	{"global", "proxy_init", "image"},
	{"pilot", "hub"},
	{"pilot", "tag"},
	{"pilot", "image"},
	{"cni", "hub"},
	{"cni", "tag"},
	{"cni", "image"},
	{"cni", "repair", "hub"},
	{"cni", "repair", "tag"},
	{"cni", "repair", "image"},
}

var (
	// imageTag is a tag, perhaps with a digest behind it.
	imageTag = regexp.MustCompile(`^\w[\w.-]{0,127}(@[A-Za-z][\w+.-]*:[0-9a-fA-F]{32,})?$`)
	// imageName is a loose form of the rest: names that it lets pass may still be refused by a registry.
	imageName = regexp.MustCompile(`^[\w\[]([\w.:/@\[\]-]*[\w\]])?$`)
)

// images are the parts of names of images that no image can have: the Pods would be refused, or never start.
func images(g given, v map[string]any, path string) []values.Problem {
	if g.root == values.RootMeshConfig {
		return nil
	}
	var out []values.Problem
	for _, keys := range imageParts {
		at, value, set := field(v, path, keys)
		text, isText := value.(string)
		part := keys[len(keys)-1]
		switch {
		case !set || value != nil && !isText || values.Variable(text) != "":
			continue // the schema says so, or nobody knows yet
		case text == "":
			if part != "image" && keys[0] == "global" && needed(g.root, part, v) {
				at.Message = "is empty, and names of images need it: set it, or leave it out for that of the version"
				out = append(out, at)
			}
		case part == "tag" && !imageTag.MatchString(text):
			at.Message = fmt.Sprintf("%q cannot be the tag of an image: letters, digits, _, . and -, at most 128, the first a "+
				"letter, a digit or _", text)
			out = append(out, at)
		case part != "tag" && (!imageName.MatchString(text) || strings.Contains(text, "//")):
			at.Message = fmt.Sprintf("%q cannot be in the name of an image", text)
			out = append(out, at)
		}
	}
	return out
}

// needed reports whether the name of an image needs global.hub or global.tag: those of the proxies always do, unless
// they are whole names, and that of the plugin if it has no hub or tag of its own.
func needed(root, part string, v map[string]any) bool {
	if root == values.RootCNI {
		return values.String(v, "cni", part) == "" && !strings.Contains(values.String(v, "cni", "image"), "/")
	}
	whole := strings.Contains(values.String(v, "global", "proxy", "image"), "/")
	own := values.String(v, "pilot", part) != "" || strings.Contains(values.String(v, "pilot", "image"), "/")
	return !whole || !own
}

// field looks a field up, and says where it is.
func field(v map[string]any, path string, keys []string) (at values.Problem, value any, set bool) {
	at = values.Problem{Path: path, Pointer: strings.Split(path, ".")}
	value = v
	for _, key := range keys {
		m, isMap := value.(map[string]any)
		if !isMap {
			return at, nil, false
		}
		if value, set = m[key]; !set {
			return at, nil, false
		}
		at = at.Below(key, "")
	}
	return at, value, true
}

// tagsTwice are the revision tags that values have more than once: the charts would make one webhook twice.
func tagsTwice(g given, v map[string]any, path string) []values.Problem {
	list, isList := v["revisionTags"].([]any)
	if !isList || g.root != values.RootIstio {
		return nil
	}
	var out []values.Problem
	seen := map[string]int{}
	for i, item := range list {
		tag, isText := item.(string)
		first, twice := seen[tag]
		switch {
		case !isText:
		case twice:
			at := values.Problem{Path: path, Pointer: strings.Split(path, ".")}.Below("revisionTags", "")
			out = append(out, at.Item(i,
				fmt.Sprintf("the tag %q is there twice, also in revisionTags[%d]; leave one out", tag, first)))
		default:
			seen[tag] = i
		}
	}
	return out
}

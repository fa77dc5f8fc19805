package release

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Images lists what a bundle runs by default: for each image that the defaults of its charts name, the hub, the name
// and the tag, and the images that templates name in full, such as those of examples. fsys has the bundle as it is
// built. The variants of an image, 1.28.3-distroless, are not listed: they come from the same place.
func Images(fsys fs.FS) ([]string, error) {
	files, err := fs.Glob(fsys, "defaults/*.json")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no defaults/*.json: the bundle is not built")
	}
	found := map[string]bool{}
	for _, file := range files {
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		var defaults any
		if err := json.Unmarshal(data, &defaults); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		c := named{}
		c.collect(defaults)
		for name := range c.images {
			if strings.Contains(name, "/") {
				found[name] = true
				continue
			}
			if c.hub == "" || c.tag == "" {
				return nil, fmt.Errorf("%s: there is an image %s, and no hub or no tag", file, name)
			}
			found[c.hub+"/"+name+":"+c.tag] = true
		}
	}
	for _, chart := range Charts {
		if err := literalImages(fsys, chart, found); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// named is what the defaults of a chart say of images.
type named struct {
	hub, tag string
	images   map[string]bool
}

func (n *named) collect(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			n.collect(item)
		}
	case map[string]any:
		for key, value := range v {
			text, _ := value.(string)
			switch {
			case text == "":
			case key == "hub":
				n.hub = text
			case key == "tag":
				n.tag = text
			case key == "image":
				if n.images == nil {
					n.images = map[string]bool{}
				}
				n.images[text] = true
			}
			n.collect(value)
		}
	}
}

// literalImages finds the images that the files of a chart name without a template's help.
func literalImages(fsys fs.FS, chart string, found map[string]bool) error {
	for _, dir := range []string{"templates", "files"} {
		entries, err := fs.ReadDir(fsys, path.Join(chart, dir))
		if err != nil {
			continue // not every chart has both, nor every version every chart
		}
		for _, e := range entries {
			if path.Ext(e.Name()) != ".yaml" || strings.HasPrefix(e.Name(), "profile-") {
				continue
			}
			data, err := fs.ReadFile(fsys, path.Join(chart, dir, e.Name()))
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(data)) {
				image, isImage := strings.CutPrefix(strings.TrimLeft(strings.TrimSpace(line), "- "), "image: ")
				image = strings.Trim(image, `"'`)
				if isImage && strings.Contains(image, ":") && !strings.Contains(image, "{") {
					found[image] = true
				}
			}
		}
	}
	return nil
}

package v1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Values is a JSON object that Go does not look into: the Helm values of a chart, or a MeshConfig.
//
// Fields of this type are pointers, so that what is absent stays absent; the methods take a nil pointer for that.
//
// +kubebuilder:validation:Type=object
// +kubebuilder:pruning:PreserveUnknownFields
type Values struct {
	// Raw is the JSON of the object. Empty stands for {}.
	Raw json.RawMessage `json:"-"`
}

// FromMap makes Values of a map of JSON types. A nil map has no values.
func FromMap(m map[string]any) (*Values, error) {
	if m == nil {
		return nil, nil
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("values are not JSON: %w", err)
	}
	return &Values{Raw: raw}, nil
}

// Map returns the values as nested maps that the caller may change: whole numbers are int64 and others float64, so that
// templates print 15020 and not 1.502e+04. It is never nil.
func (v *Values) Map() (map[string]any, error) {
	if v == nil || len(v.Raw) == 0 {
		return map[string]any{}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(v.Raw))
	decoder.UseNumber()
	var m map[string]any
	if err := decoder.Decode(&m); err != nil {
		return nil, fmt.Errorf("values are not a JSON object: %w", err)
	}
	if m == nil {
		return map[string]any{}, nil
	}
	for key, value := range m {
		m[key] = numbers(value)
	}
	return m, nil
}

// numbers replaces each json.Number below value by an int64 or a float64.
func numbers(value any) any {
	switch value := value.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(value.String(), 10, 64); err == nil {
			return i
		}
		f, err := value.Float64()
		if err != nil {
			return value.String() // beyond float64: no number Go can hold, and a chart would only print it
		}
		return f
	case map[string]any:
		for key, inner := range value {
			value[key] = numbers(inner)
		}
	case []any:
		for i, inner := range value {
			value[i] = numbers(inner)
		}
	}
	return value
}

// MarshalJSON returns the object as it was read.
func (v Values) MarshalJSON() ([]byte, error) {
	if len(v.Raw) == 0 {
		return []byte("{}"), nil
	}
	return v.Raw, nil
}

// UnmarshalJSON keeps the object as it is. Anything but an object is an error.
func (v *Values) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		v.Raw = nil
		return nil
	}
	if len(data) == 0 || data[0] != '{' {
		return errors.New("values must be an object")
	}
	v.Raw = bytes.Clone(data)
	return nil
}

package hp3par

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
)

// absent says that the array answered that there is no such thing.
func absentObject(err error) bool {
	var no *rejection
	return errors.As(err, &no) && no.rc == http.StatusNotFound
}

// volumeFacts implements objectTransport.
func (w *webServices) volumeFacts(ctx context.Context, names []string) (map[string]volumeFacts, error) {
	volumes := map[string]volumeFacts{}
	err := w.with(ctx, func(s *session) error {
		for _, n := range names {
			var v struct {
				Name    string `json:"name"`
				SizeMiB int64  `json:"sizeMiB"`
				Group   string `json:"rcopyGroup"`
				Comment string `json:"comment"`
			}
			err := s.call(ctx, http.MethodGet, "/volumes/"+url.PathEscape(n), nil, &v)
			if absentObject(err) {
				continue
			}
			if err != nil {
				return err
			}
			volumes[n] = volumeFacts{n, v.SizeMiB, v.Group, v.Comment}
		}
		return nil
	})
	return volumes, err
}

// exports implements objectTransport. The array lists a template and each active path of it.
func (w *webServices) exports(ctx context.Context) ([]export, error) {
	var list struct {
		Members []struct {
			LUN    int    `json:"lun"`
			Volume string `json:"volumeName"`
			Host   string `json:"hostname"`
		} `json:"members"`
	}
	err := w.with(ctx, func(s *session) error { return s.call(ctx, http.MethodGet, "/vluns", nil, &list) })
	if absentObject(err) {
		return nil, nil
	}
	var out []export
	for _, m := range list.Members {
		if x := (export{m.Volume, m.LUN, m.Host}); !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out, err
}

// hosts implements objectTransport.
func (w *webServices) hosts(ctx context.Context) ([]string, error) {
	var list struct {
		Members []struct {
			Name string `json:"name"`
		} `json:"members"`
	}
	err := w.with(ctx, func(s *session) error { return s.call(ctx, http.MethodGet, "/hosts", nil, &list) })
	var names []string
	for _, m := range list.Members {
		if m.Name != "" {
			names = append(names, m.Name)
		}
	}
	return names, err
}

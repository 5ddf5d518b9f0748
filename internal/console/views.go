package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"
)

//go:embed *.html *.css *.js *.svg
var files embed.FS

// parts are the files every view is made with.
var parts = []string{"layout.html", "parts.html"}

// views are the parsed pages and what they load.
type views struct {
	pages map[string]*template.Template
	// style, script, onward and icon are paths of assets.
	style, script, onward, icon string
	assets                      map[string]http.Handler
}

func readViews() (*views, error) {
	v := &views{pages: map[string]*template.Template{}, assets: map[string]http.Handler{}}
	base, err := template.New("").Funcs(template.FuncMap{"moment": moment, "day": day}).ParseFS(files, parts...)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	for _, e := range entries {
		name, isPage := strings.CutSuffix(e.Name(), ".html")
		if !isPage || name == "layout" || name == "parts" {
			continue
		}
		page, err := base.Clone()
		if err == nil {
			page, err = page.ParseFS(files, e.Name())
		}
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		v.pages[name] = page
	}
	for _, a := range []struct {
		file, kind string
		path       *string
	}{
		{"console.css", "text/css; charset=utf-8", &v.style},
		{"passkey.js", "text/javascript; charset=utf-8", &v.script},
		{"onward.js", "text/javascript; charset=utf-8", &v.onward},
		{"icon.svg", "image/svg+xml", &v.icon},
	} {
		if *a.path, err = v.addAsset(a.file, a.kind); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// addAsset serves a file under a path that changes with its content, so that
// browsers may keep it for good.
func (v *views) addAsset(file, kind string) (string, error) {
	content, err := files.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("console: %w", err)
	}
	sum := sha256.Sum256(content)
	path := "/login/assets/" + hex.EncodeToString(sum[:8]) + "/" + file
	v.assets[path] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		protect(w.Header())
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Write(content) //nolint:errcheck,gosec // the browser went away
	})
	return path, nil
}

func (v *views) render(w io.Writer, name string, f frame) error {
	page, ok := v.pages[name]
	if !ok {
		return fmt.Errorf("no view %q", name)
	}
	return page.ExecuteTemplate(w, "layout", f)
}

// moment is a time as pages write it, in UTC; empty for the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 2006, 15:04 UTC")
}

// day is a date.
func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

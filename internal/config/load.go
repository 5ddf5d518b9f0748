package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"keystile.dev/keystile/internal/yamlfile"
)

// Load reads a configuration file, lets environment variables (as os.Environ
// gives them) and then flags (by name without hyphens) override it, and checks
// everything. With file "" there is no file, only variables, flags and defaults.
//
// An error that holds yamlfile.Problems says everything that is wrong; then the
// Config is what could be read, so that routes can be checked in the same go,
// and must not be run. With any other error (the file cannot be read) it is nil.
func Load(file string, env []string, flags map[string]string) (*Config, error) {
	return load(file, env, flags, false)
}

// LoadDemo is Load for the demo, which may use secrets too weak for production.
func LoadDemo(file string, env []string, flags map[string]string) (*Config, error) {
	return load(file, env, flags, true)
}

func load(file string, env []string, flags map[string]string, demo bool) (*Config, error) {
	var data []byte
	if file != "" {
		var err error
		if data, err = yamlfile.Read(file, yamlfile.MaxConfig); err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
	}
	c := &checker{Config: &Config{file: file, overridden: map[string]string{}}, demo: demo}
	c.read(data)
	c.override(env, flags)
	c.check()
	c.Warnings.Sort()
	return c.Config, c.problems.Err()
}

// read decodes the file over the defaults.
func (c *checker) read(data []byte) {
	yamlfile.SetDefaults(c.Config)
	positions, err := yamlfile.Decode(c.file, data, c.Config)
	c.positions = positions
	c.take(err)
	if !positions.Has("dialects") {
		c.Dialects = Dialects{ONA: &ONADialect{}, Aurora: &AuroraDialect{}, Ownera: &OwneraDialect{}, NAO: &NAODialect{}}
		yamlfile.SetDefaults(c.Dialects.ONA)
		yamlfile.SetDefaults(c.Dialects.Aurora)
		yamlfile.SetDefaults(c.Dialects.Ownera)
		yamlfile.SetDefaults(c.Dialects.NAO)
	}
}

// take adds the problems that err holds.
func (c *checker) take(err error) {
	if err == nil {
		return
	}
	problems, ok := yamlfile.ProblemsOf(err)
	if !ok {
		problems = yamlfile.Problems{{File: c.file, Problem: err.Error()}}
	}
	c.problems = append(c.problems, problems...)
}

// override sets what variables and flags give. A variable that is set but empty
// counts: an empty secret is refused rather than taken for none.
func (c *checker) override(env []string, flags map[string]string) {
	options := Options()
	byEnv, byFlag := map[string]Option{}, map[string]Option{}
	var envNames, flagNames, unknown []string
	for _, o := range options {
		byEnv[o.Env], byFlag[o.Flag] = o, o
		envNames, flagNames = append(envNames, o.Env), append(flagNames, o.Flag)
	}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if o, ok := byEnv[name]; ok {
			c.set(name, o.Path, value)
		} else if strings.HasPrefix(name, envPrefix) && !slices.Contains(otherVariables, name) {
			unknown = append(unknown, name)
		}
	}
	names := make([]string, 0, len(flags))
	for name := range flags {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if o, ok := byFlag[name]; ok {
			c.setFlag(o, flags[name])
			continue
		}
		c.problems = append(c.problems, yamlfile.Problem{File: "--" + name, Field: "flag", Problem: "there is no such option", Remedy: meant(yamlfile.Suggest(name, flagNames), "see keystile serve --help")})
	}
	for _, name := range unknown {
		if c.MasterKey != "env:"+name {
			c.unknownVariable(name, envNames)
		}
	}
}

func (c *checker) set(source, path, text string) {
	c.overridden[path] = source
	c.take(yamlfile.SetText(source, c.Config, path, text))
}

// setFlag sets an option from the command line, where a secret would be seen in
// the list of processes unless it is given as @FILE.
func (c *checker) setFlag(o Option, text string) {
	if path, ok := strings.CutPrefix(text, "@"); ok && o.Secret {
		c.overridden[o.Path] = "--" + o.Flag
		secret, ok := c.readSecret(o.Path, path)
		if !ok {
			return
		}
		text = secret
	}
	c.set("--"+o.Flag, o.Path, text)
}

// unknownVariable warns only: orchestrators set variables such as
// KEYSTILE_PORT by themselves for a service of that name.
func (c *checker) unknownVariable(name string, known []string) {
	c.Warnings = append(c.Warnings, yamlfile.Problem{File: name, Field: "environment", Problem: "is no option and was ignored", Remedy: meant(yamlfile.Suggest(strings.ToLower(name), lower(known)), "see the configuration reference")})
}

func lower(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.ToLower(name)
	}
	return out
}

func meant(suggestion, otherwise string) string {
	if suggestion == "" {
		return otherwise
	}
	if strings.HasPrefix(suggestion, strings.ToLower(envPrefix)) {
		suggestion = strings.ToUpper(suggestion)
	}
	return "did you mean " + suggestion + "?"
}

// fromBase joins a relative path to the directory of the file that it stands
// in. Paths from variables and flags stay relative to the working directory.
func (c *checker) fromBase(path, name string) string {
	if name == "" || filepath.IsAbs(name) || c.file == "" {
		return name
	}
	if source, _ := c.where(path); source != c.file {
		return name
	}
	return filepath.Join(filepath.Dir(c.file), name)
}

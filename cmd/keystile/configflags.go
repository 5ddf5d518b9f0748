package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"keystile.dev/keystile/internal/config"
)

// defaultConfig is read when --config is not given and the file exists.
const defaultConfig = "keystile.yaml"

// configFlags choose and override the configuration.
type configFlags struct {
	file string
	demo bool
}

// add adds --config to a command.
func (c *configFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.file, "config", "", "configuration file (default: keystile.yaml, if there is one)")
}

// addUnreadConfig takes --config where no configuration is read, so that a script can give
// it to every command.
func addUnreadConfig(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "taken, and not read")
	cmd.Flags().Lookup("config").Hidden = true
}

// addAll adds --config and a flag for every option.
func (c *configFlags) addAll(cmd *cobra.Command) {
	c.add(cmd)
	for _, o := range config.Options() {
		value := &optionValue{kind: o.Kind}
		flag := &pflag.Flag{Name: o.Flag, Usage: o.Doc + " [" + o.Env + "]", Value: value, DefValue: o.Default}
		if o.Bool {
			flag.NoOptDefVal = "true"
		}
		cmd.Flags().AddFlag(flag)
	}
}

// optionValue is the text of an option's flag; package config reads it.
type optionValue struct{ text, kind string }

func (v *optionValue) String() string     { return v.text }
func (v *optionValue) Set(s string) error { v.text = s; return nil }
func (v *optionValue) Type() string       { return v.kind }

// load reads the configuration with the flags of cmd on top. Problems of its
// routes are told with the others: whoever mends the file does so once.
func (c *configFlags) load(a *app, cmd *cobra.Command) (*config.Config, error) {
	cfg, err := c.read(a, cmd)
	if err == nil || cfg == nil {
		return cfg, err
	}
	_, ofRoutes := compileRoutes(cfg, c.demo, slog.New(slog.DiscardHandler))
	return cfg, errors.Join(err, withoutToldBefore(ofRoutes, err))
}

func (c *configFlags) read(a *app, cmd *cobra.Command) (*config.Config, error) {
	flags := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if v, ok := f.Value.(*optionValue); ok {
			flags[f.Name] = v.text
		}
	})
	file := c.path(a)
	if c.demo {
		return config.LoadDemo(file, a.environ, flags)
	}
	return config.Load(file, a.environ, flags)
}

// path is the configuration file: the flag, the variable, or the default if it exists.
func (c *configFlags) path(a *app) string {
	if c.file != "" {
		return c.file
	}
	if file := a.getenv("KEYSTILE_CONFIG"); file != "" {
		return file
	}
	if _, err := os.Stat(defaultConfig); err == nil {
		return defaultConfig
	}
	return ""
}

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"keystile.dev/keystile/internal/store/storetest"
	"keystile.dev/keystile/test/e2e/program"
)

// binary is the built program.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (status int) {
	dir, err := os.MkdirTemp("", "keystile-e2e-")
	if err == nil {
		defer func() {
			if err := os.RemoveAll(dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				status = 1
			}
		}()
		binary, err = program.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func TestTheProgramAnswersAsTheScriptsSay(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	runScripts(t, files, "")
}

// TestOnEveryStoreTheProgramAnswersAsTheScriptsSay gives each script a store of its own.
func TestOnEveryStoreTheProgramAnswersAsTheScriptsSay(t *testing.T) {
	files, err := filepath.Glob("testdata/stores/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run("sqlite", func(t *testing.T) { runScripts(t, []string{file}, "sqlite:keystile.db") })
		t.Run("postgres", func(t *testing.T) { runScripts(t, []string{file}, storetest.PostgresURL(t)) })
	}
}

// runScripts runs scripts. They find the URL of their store in STORE.
func runScripts(t *testing.T, files []string, store string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Files:               files,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("STORE", store)
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			s := &stage{ctx: t.Context(), servers: map[string]*program.Process{}, loads: map[string]*load{}}
			env.Values[stageKey{}] = s
			env.Defer(func() {
				if err := s.clear(); err != nil {
					t.Error(err)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"address": address, "upstream": upstream, "status": status, "serve": serve, "output": outputMatches, "hup": hup,
			"stop": stopServer, "http": request, "until": until, "load": startLoad, "loaded": endLoad, "field": field, "mode": mode,
			"hook": hook, "told": told, "mend": mend, "crash": crash, "page": page, "tamper": tamper,
		},
	})
}

// stage is what one script has running.
type stage struct {
	ctx     context.Context // the test's, for commands that get none
	servers map[string]*program.Process
	loads   map[string]*load
	closers []func() error
	hooked  *endpoint
}

type stageKey struct{}

func stageOf(ts *testscript.TestScript) *stage {
	s, ok := ts.Value(stageKey{}).(*stage)
	if !ok {
		ts.Fatalf("the script has no stage")
	}
	return s
}

// clear ends everything the script left running.
func (s *stage) clear() error {
	var errs []error
	for _, l := range s.loads {
		l.end()
	}
	for _, p := range s.servers {
		errs = append(errs, p.Kill())
	}
	for _, closer := range s.closers {
		errs = append(errs, closer())
	}
	return errors.Join(errs...)
}

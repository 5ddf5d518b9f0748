package e2e

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the driver named "sqlite"; "pgx" comes with storetest
)

// tamper changes the store behind the program's back, as somebody with access to
// the database could.
func tamper(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "tamper STATEMENT")
	driver, address := "pgx", ts.Getenv("STORE")
	if file, ok := strings.CutPrefix(address, "sqlite:"); ok {
		driver, address = "sqlite", filepath.Clean(ts.MkAbs(file))
	}
	db, err := sql.Open(driver, address)
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	result, err := db.ExecContext(stageOf(ts).ctx, args[0])
	ts.Check(err)
	if n, err := result.RowsAffected(); n == 0 {
		ts.Check(errors.Join(errors.New("nothing was touched"), err))
	}
}

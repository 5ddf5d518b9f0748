package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

// dataVersionPoll is how often a SQLite file is asked whether it has changed,
// which costs some microseconds.
const dataVersionPoll = 25 * time.Millisecond

// Watch calls wake soon after other connections, those of other processes among
// them, may have changed the feed, until ctx ends; then it returns nil. It wakes
// too often rather than too seldom, and while it is not running, or has returned
// an error, nobody is woken: callers ask [Store.Changes] from time to time
// besides. It holds one connection.
func (s *Store) Watch(ctx context.Context, wake func()) error {
	if s.closed.Load() {
		return errClosed
	}
	conn, err := s.reader.Conn(ctx)
	if err != nil {
		return s.fail("watch the feed", err)
	}
	err = conn.Raw(func(c any) error {
		var err error
		if pg, ok := c.(*stdlib.Conn); ok {
			err = listen(ctx, pg, wake)
		} else {
			err = pollDataVersion(ctx, c, wake)
		}
		// What was done to the connection must not reach its next user.
		return errors.Join(err, driver.ErrBadConn)
	})
	if ctx.Err() != nil {
		return closed(conn.Close(), nil)
	}
	return s.fail("watch the feed", closed(conn.Close(), err))
}

// closed is err and what went wrong with closing. A connection that was thrown
// away on purpose has been closed already.
func closed(closing, err error) error {
	if errors.Is(closing, sql.ErrConnDone) {
		closing = nil
	}
	return errors.Join(err, closing)
}

func listen(ctx context.Context, c *stdlib.Conn, wake func()) error {
	pg := c.Conn()
	if _, err := pg.Exec(ctx, "LISTEN "+feedChannel); err != nil {
		return fmt.Errorf("listen for changes: %w", err)
	}
	for {
		// First, for what was written before this listened.
		wake()
		if _, err := pg.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("wait for changes: %w", err)
		}
	}
}

// pollDataVersion uses a number that changes whenever another connection has
// committed (https://www.sqlite.org/pragma.html#pragma_data_version).
func pollDataVersion(ctx context.Context, c any, wake func()) error {
	queryer, ok := c.(driver.QueryerContext)
	if !ok {
		return errors.New("the SQLite driver cannot query")
	}
	tick := time.NewTicker(dataVersionPoll)
	defer tick.Stop()
	for last := int64(-1); ; {
		version, err := dataVersion(queryer)
		if err != nil {
			return err
		}
		if version != last {
			last = version
			wake()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func dataVersion(c driver.QueryerContext) (version int64, err error) {
	rows, err := c.QueryContext(context.Background(), "PRAGMA data_version", nil)
	if err != nil {
		return 0, fmt.Errorf("read the data version: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil {
		return 0, fmt.Errorf("read the data version: %w", err)
	}
	version, ok := row[0].(int64)
	if !ok {
		return 0, fmt.Errorf("read the data version: %T", row[0])
	}
	return version, nil
}

package disk

import (
	"errors"
	"fmt"
)

var (
	// ErrNoLog: OpenReadOnly finds no log in the folder.
	ErrNoLog = errors.New("there is no log")

	errReadOnly = errors.New("the log was opened to be read only")
)

// OpenReadOnly opens the log in dir to look at it, and changes no file: what Open
// would recover is recovered in memory. It refuses what Open refuses, and a folder
// without a log (ErrNoLog). Until it is closed nobody else can open the log.
func OpenReadOnly(dir string, opt Options) (*Store, error) {
	opt.readOnly = true
	s := newStore(dir, opt)
	last, err := s.recover()
	if err != nil {
		return nil, fmt.Errorf("looking at the log in %s: %w", dir, err)
	}
	s.tail.init(last)
	return s, nil
}

// closeReadOnly is Close but for what only a writer leaves behind.
func (s *Store) closeReadOnly() error {
	s.tail.close()
	s.guard.Lock()
	defer s.guard.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.db.Close(), s.lock.Close())
}

package eventstore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pmledger/pmledger/domain"
)

// maxLine bounds a line of an export, in bytes: twice what a store takes at once.
const maxLine = 16 << 20

// LineError says what is wrong with a line of an export.
type LineError struct {
	Line    int    // from 1
	Stream  string // of the record, "" when the line does not tell
	Version uint64
	Cause   error // every fault of the line, joined
}

func (e *LineError) Error() string {
	faults := strings.ReplaceAll(e.Cause.Error(), "\n", "; ")
	if e.Stream == "" {
		return fmt.Sprintf("line %d: %s", e.Line, faults)
	}
	return fmt.Sprintf("line %d (version %d of stream %s): %s", e.Line, e.Version, e.Stream, faults)
}

func (e *LineError) Unwrap() error { return e.Cause }

// ExportReader reads an export line by line and checks that no line is missing
// between two. It is not safe for concurrent use.
type ExportReader struct {
	in   *bufio.Reader
	line int   // of what next returns
	read int64 // bytes
	last Exported
	hash string // of last

	ahead *Exported // read by First and not yet returned
}

// NewExportReader reads an export from in.
func NewExportReader(in io.Reader) *ExportReader {
	return &ExportReader{in: bufio.NewReaderSize(in, 1<<18)}
}

// Bytes is how much of the export was read.
func (r *ExportReader) Bytes() int64 { return r.read }

// First looks at the first line and leaves it to be read. It returns the identity
// of the log that was exported when the export begins with that log, and nil when
// it goes on from a later place. An empty export gives io.EOF.
func (r *ExportReader) First() (*Identity, error) {
	if r.ahead == nil {
		e, err := r.next()
		if err != nil {
			return nil, err
		}
		r.ahead = &e
	}
	if r.ahead.Follows != NoPrev {
		return nil, nil
	}
	e, _, err := DecodeRecord(r.ahead.Record)
	created, ok := e.(domain.LedgerCreated)
	if err != nil || !ok || r.ahead.Stream != domain.LedgerStream {
		return nil, r.fault(*r.ahead, errors.New("it follows no other record, and the first record of a log is its identity, in stream "+domain.LedgerStream))
	}
	identity := Identity(created)
	return &identity, nil
}

// next returns the next record, io.EOF after the last one, or a *LineError.
func (r *ExportReader) next() (Exported, error) {
	if r.ahead != nil {
		e := *r.ahead
		r.ahead = nil
		return e, nil
	}
	text, err := r.text()
	if err != nil {
		return Exported{}, err
	}
	e, err := ParseExported(text)
	if err != nil {
		return Exported{}, r.fault(e, err)
	}
	if r.line > 1 {
		err = r.followsLast(e)
	}
	if err != nil {
		return Exported{}, r.fault(e, err)
	}
	r.last, r.hash = e, e.LeafHash()
	return e, nil
}

// followsLast checks a line's place in the export.
func (r *ExportReader) followsLast(e Exported) error {
	var faults []error
	if e.Follows != r.hash {
		faults = append(faults, fmt.Errorf("it follows the record with hash %s, and the line before is the record with hash %s: that one was changed, or lines are missing, doubled or in another order", e.Follows, r.hash))
	}
	if e.Position <= r.last.Position {
		faults = append(faults, fmt.Errorf("its position %d is not after the line before's, %d", e.Position, r.last.Position))
	}
	return errors.Join(faults...)
}

// text returns a line without its line feed, in memory of its own.
func (r *ExportReader) text() ([]byte, error) {
	var text []byte
	for {
		piece, err := r.in.ReadSlice('\n')
		r.read += int64(len(piece))
		text = append(text, piece...)
		switch {
		case err == nil:
			r.line++
			return text[:len(text)-1], nil
		case errors.Is(err, io.EOF) && len(text) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			r.line++
			return nil, r.fault(Exported{}, errors.New("it has no end: the export was cut off"))
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("reading the export after line %d: %w", r.line, err)
		case len(text) > maxLine:
			r.line++
			return nil, r.fault(Exported{}, fmt.Errorf("it is longer than %d bytes", maxLine))
		}
	}
}

// fault is a fault of the line that was read last.
func (r *ExportReader) fault(e Exported, cause error) error {
	return &LineError{Line: r.line, Stream: e.Stream, Version: e.Version, Cause: cause}
}

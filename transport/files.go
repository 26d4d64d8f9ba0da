package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/pkg/sftp"
)

// Files reads and replaces small files on a target, by sftp or locally.
type Files struct {
	conn *Conn // nil: this machine
	sftp *sftp.Client
}

// OpenFiles connects to t's sftp subsystem ("" host: this machine). When ctx ends,
// the connection ends.
func OpenFiles(ctx context.Context, t Target, opt Options) (*Files, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	if t.Host == "" {
		return &Files{}, nil
	}
	c, err := dialSSH(ctx, t, opt.complete(), "-s", "sftp")
	if err != nil {
		return nil, err
	}
	client, err := sftp.NewClientPipe(c, c)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		err = c.Explain(fmt.Errorf("sftp: %w", err))
		return nil, errors.Join(err, c.Close())
	}
	return &Files{conn: c, sftp: client}, nil
}

// ReadFile returns the whole file, at most limit bytes; fs.ErrNotExist if absent.
func (f *Files) ReadFile(name string, limit int64) ([]byte, error) {
	r, err := f.open(name)
	if err != nil {
		return nil, f.explain(name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, f.explain(name, err)
	}
	if int64(len(b)) > limit {
		return nil, f.explain(name, fmt.Errorf("more than %d bytes", limit))
	}
	return b, nil
}

func (f *Files) open(name string) (io.ReadCloser, error) {
	if f.sftp == nil {
		return os.Open(name)
	}
	return f.sftp.Open(name)
}

// WriteFile replaces the file by temporary file, fsync (where the server can) and
// rename. Missing directories are made.
func (f *Files) WriteFile(name string, data []byte) error {
	if f.sftp == nil {
		return writeLocal(name, data)
	}
	return f.explain(name, f.writeRemote(name, data))
}

func writeLocal(name string, data []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := renameio.WriteFile(name, data, 0o644, renameio.WithTempDir(dir)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *Files) writeRemote(name string, data []byte) (err error) {
	if err := f.sftp.MkdirAll(path.Dir(name)); err != nil {
		return err
	}
	// One name, so that what a cut connection left is replaced by the next run.
	tmp := path.Join(path.Dir(name), "."+path.Base(name)+".ddsgo")
	if err := f.sftp.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	w, err := f.sftp.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.sftp.Remove(tmp))
		}
	}()
	if _, err := w.Write(data); err != nil {
		return errors.Join(err, w.Close())
	}
	if _, ok := f.sftp.HasExtension("fsync@openssh.com"); ok {
		if err := w.Sync(); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.sftp.PosixRename(tmp, name)
}

// explain names the file, and the reason if it is the connection's.
func (f *Files) explain(name string, err error) error {
	if err == nil {
		return nil
	}
	if f.conn == nil {
		return err
	}
	if errors.Is(err, sftp.ErrSSHFxConnectionLost) {
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	if lost(err) {
		return f.conn.Explain(err)
	}
	return fmt.Errorf("%s:%s: %w", f.conn.target, name, err)
}

// Close ends the connection.
func (f *Files) Close() error {
	if f.conn == nil {
		return nil
	}
	// The client's own Close waits for the server to hang up, so ours comes first.
	return f.conn.Close()
}

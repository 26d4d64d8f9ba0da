package cli

import (
	"context"
	"fmt"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/infinibox"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func openInfiniBox(_ context.Context, env environment, r config.Resource) (array.Driver, error) {
	c := r.InfiniBox
	cfg := infinibox.Config{
		Name: r.Name, Mode: c.Mode, Kind: c.Entity, Entity: c.Name, Link: c.Link,
		Interval: c.Interval.D(), RPO: c.RPO.D(), MaxAge: c.SyncMaxDelay.D(),
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = cfg.RPO
	}
	for i, s := range c.Sites {
		peer := env.cfg.Arrays[c.Sites[1-i].Of.Array]
		client, err := infiniBoxClient(env, env.cfg.Arrays[s.Of.Array], &peer)
		if err != nil {
			return nil, err
		}
		cfg.Sites[i] = infinibox.Site{Name: s.Name, Client: client, Pool: s.Of.Pool, Entity: s.Of.Name}
	}
	d, err := infinibox.New(cfg)
	if err != nil {
		return nil, failure.With(failure.CodeUsage, r.At.String(), "resource "+r.Name, "ddsgo config check", err)
	}
	return d, nil
}

// infiniBoxClient reaches one box; peer is the one whose permission it may ask for.
func infiniBoxClient(env environment, a config.Array, peer *config.Array) (*infinibox.Client, error) {
	password, err := a.Password(env.getenv)
	if err != nil {
		return nil, err
	}
	access := infinibox.Access{Name: a.Name, Addresses: a.URL, Username: a.Username, Password: password, CAFile: a.CAFile, Insecure: a.Insecure, Log: env.log}
	if peer != nil {
		access.PeerUsername = peer.Username
		if access.PeerPassword, err = peer.Password(env.getenv); err != nil {
			return nil, err
		}
	}
	client, err := infinibox.NewClient(access)
	if err != nil {
		next := fmt.Sprintf("set username, and password_file or %s, of array %s", a.PasswordVariable(), a.Name)
		return nil, failure.With(failure.CodeUsage, a.At.String(), "array "+a.Name, next, err)
	}
	return client, nil
}

func listInfiniBox(ctx context.Context, env environment, a config.Array) (any, error) {
	client, err := infiniBoxClient(env, a, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close(ctx) }() // the session ends by itself, too
	return infinibox.Inventory(ctx, client)
}

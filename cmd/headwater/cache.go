package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headwater/internal/cache"
	"headwater/internal/dag"
	"headwater/internal/engine/local"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/registry"
	"headwater/internal/store"
	"headwater/internal/ui"
)

func (a *app) cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Give what was built to binary caches, take it from them, or be one",
		Long: `Give what was built to binary caches, take it from them, or be one. Caches have Nix's layout, so Nix takes from what Headwater
gives, and the reverse. CACHE is file:///FOLDER, http://HOST/PATH, https://HOST/PATH or s3://BUCKET[?endpoint=…&region=…&profile=…&scheme=…].`,
	}
	cmd.AddCommand(a.cachePushCommand(), a.cachePullCommand(), a.cacheServeCommand(), a.cacheKeyCommand())
	return cmd
}

// cachePushOptions are the flags of cache push.
type cachePushOptions struct {
	keyFile     string
	compression string
	inputs      bool
}

func (a *app) cachePushCommand() *cobra.Command {
	var o cachePushOptions
	cmd := &cobra.Command{
		Use:   "push CACHE [PATH… | DIR]",
		Short: "Send a cache what it lacks of store paths and all that they refer to",
		Long: `Send a cache what it lacks of store paths and all that they refer to; without paths, of DIR's package as it was built last.
Print the paths that were sent.`,
		Args: minArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.cachePush(cmd.Context(), args[0], args[1:], o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.keyFile, "key-file", "", "file with the secret key that signs (see headwater cache key)")
	f.StringVar(&o.compression, "compression", string(cache.Zstd), "of what is sent: zstd, xz or none")
	f.BoolVar(&o.inputs, "inputs", false, "of DIR's build also roots, toolchains and dependencies, so that others build only what changed")
	return cmd
}

func (a *app) cachePush(ctx context.Context, address string, args []string, o cachePushOptions) error {
	compression, err := cache.ParseCompression(o.compression)
	if err != nil {
		return &usageError{err}
	}
	key, err := readKey(o.keyFile)
	if err != nil {
		return err
	}
	return a.withCache(ctx, address, func(s *store.Store, c *cache.Cache, r ui.Renderer) error {
		paths, err := pushed(ctx, s, args, o.inputs)
		if err != nil {
			return err
		}
		done, err := cache.Push(ctx, cache.PushOptions{Store: s, Cache: c, Key: key, Compression: compression, Events: r.Emit}, paths)
		if done.Unsigned > 0 {
			r.Emit(event.Message{Level: event.Warning, Text: fmt.Sprintf("%d paths are not signed, so nobody will take them; push with --key-file", done.Unsigned)})
		}
		if err != nil {
			return err
		}
		return a.moved("sent", done.Paths, done.Bytes, fmt.Sprintf(", %d were there", done.There), map[string]any{"there": done.There, "unsigned": done.Unsigned})
	})
}

// pushed are the paths that arguments ask for: themselves, or a project's.
func pushed(ctx context.Context, s *store.Store, args []string, inputs bool) ([]nix.StorePath, error) {
	if len(args) > 0 && strings.HasPrefix(args[0], nix.StoreDir+"/") {
		if inputs {
			return nil, &usageError{errors.New("--inputs needs a DIR, not store paths")}
		}
		paths, err := storePaths(args)
		if err != nil {
			return nil, err
		}
		valid, err := s.Valid(ctx, paths...)
		if err == nil && len(valid) < len(paths) {
			missing := slices.DeleteFunc(paths, func(p nix.StorePath) bool { return slices.Contains(valid, p) })
			err = &inputError{fmt.Errorf("push %s: it is not in the store %s", missing[0], s.Dir()), "name the store that has it: --store FOLDER"}
		}
		return valid, err
	}
	if len(args) > 1 {
		return nil, &usageError{fmt.Errorf("want store paths or one DIR, got %q", args)}
	}
	_, g, err := openGraph(args)
	if err != nil {
		return nil, err
	}
	if valid, err := s.Valid(ctx, g.Package.Path()); err != nil || len(valid) == 0 {
		return nil, errors.Join(err, &inputError{fmt.Errorf("push %s: it is not built", g.Package.Path()), "run headwater build, with the same DIR and --store"})
	}
	if !inputs {
		return []nix.StorePath{g.Package.Path()}, nil
	}
	return s.Valid(ctx, outputsFor(g.Package)...)
}

// outputsFor are the outputs of all that a goal needs but downloads, which whoever builds gets by their hashes, and the source.
func outputsFor(goal *dag.Node) []nix.StorePath {
	var paths []nix.StorePath
	for _, n := range ordered(goal) {
		if n.Kind != dag.Fetch && n.Kind != dag.Src {
			for _, p := range n.Outputs {
				paths = append(paths, p)
			}
		}
	}
	slices.Sort(paths) // a map has no order
	return paths
}

func storePaths(args []string) ([]nix.StorePath, error) {
	paths := make([]nix.StorePath, len(args))
	for i, arg := range args {
		var err error
		if paths[i], err = nix.ParseStorePath(arg); err != nil {
			return nil, &usageError{err}
		}
	}
	return paths, nil
}

func (a *app) cachePullCommand() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use:   "pull CACHE PATH…",
		Short: "Take store paths and all that they refer to from a cache",
		Long: `Take store paths and all that they refer to from a cache, and print those that were taken. What is not content-addressed has
to be signed by a trusted key: one of --trusted-key, or one that caches.yaml has for this cache.`,
		Args: minArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.cachePull(cmd.Context(), args[0], args[1:], keys)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "trusted-key", nil, trustedKeyUsage)
	return cmd
}

func (a *app) cachePull(ctx context.Context, address string, args, trusted []string) error {
	paths, err := storePaths(args)
	if err != nil {
		return err
	}
	keys, err := parseKeys(trusted)
	if err != nil {
		return err
	}
	settings, err := a.cacheSettings()
	if err != nil {
		return err
	}
	keys = append(keys, keysOf(settings, address)...)
	return a.withCache(ctx, address, func(s *store.Store, c *cache.Cache, r ui.Renderer) error {
		node := event.Node{ID: c.Address(), Kind: "pull", Name: paths[0].Name()}
		r.Emit(event.Planned{Total: 1, Todo: 1})
		r.Emit(event.Started{Node: node})
		began := a.now()
		sub := cache.NewSubstituter(s, []cache.Source{{Cache: c, Keys: keys}}, cache.PullOptions{})
		done, err := sub.Pull(ctx, paths, func(n, total int64) { r.Emit(event.Progress{Node: node, Done: n, Total: total}) })
		r.Emit(event.Finished{Node: node, Duration: a.now().Sub(began), Bytes: done.Bytes, Err: err})
		if err != nil {
			return err
		}
		return a.moved("took", done.Paths, done.Bytes, "", nil)
	})
}

// moved prints the paths that were sent or taken.
func (a *app) moved(did string, paths []nix.StorePath, bytes int64, rest string, more map[string]any) error {
	if a.json {
		line := map[string]any{"v": 1, "paths": append([]nix.StorePath{}, paths...), "bytes": bytes}
		for name, value := range more {
			line[name] = value
		}
		return json.NewEncoder(a.stdout).Encode(line)
	}
	for _, p := range paths {
		if _, err := fmt.Fprintln(a.stdout, p); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.stderr, "%s %d paths, %.1f MB%s\n", did, len(paths), float64(bytes)/1e6, rest)
	return err
}

// withCache opens the store and a cache for f.
func (a *app) withCache(ctx context.Context, address string, f func(*store.Store, *cache.Cache, ui.Renderer) error) error {
	reg, err := a.openRegistry(registry.Options{})
	if err != nil {
		return err
	}
	c, err := cache.Open(address, a.cacheOptions(reg))
	if err != nil {
		return err
	}
	defer c.Close()
	return a.withStore(ctx, func(s *store.Store) error {
		r := a.renderer()
		defer r.Close()
		return f(s, c, r)
	})
}

func (a *app) cacheServeCommand() *cobra.Command {
	var listen, keyFile, compression string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the store as a binary cache, until Ctrl-C",
		Args:  maxArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cache.ParseCompression(compression)
			if err != nil || c == cache.XZ {
				return &usageError{fmt.Errorf("compression %q: want zstd or none", compression)}
			}
			key, err := readKey(keyFile)
			if err != nil {
				return err
			}
			return a.withStore(cmd.Context(), func(s *store.Store) error {
				return a.cacheServe(cmd.Context(), listen, cache.ServeOptions{
					Store: s, Key: key, Compression: c, Log: func(p nix.StorePath) string { return local.LogPath(s.Dir(), p) },
				})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "localhost:8080", "HOST:PORT to listen at; port 0 takes a free one")
	f.StringVar(&keyFile, "key-file", "", "file with the secret key that signs (see headwater cache key)")
	f.StringVar(&compression, "compression", string(cache.Zstd), "of what is sent: zstd or none")
	return cmd
}

// grace is how long what is being sent may take to end once the server is asked to.
const grace = 10 * time.Second

func (a *app) cacheServe(ctx context.Context, listen string, o cache.ServeOptions) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: cache.Handler(o), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	if err := a.result("address", "http://"+l.Addr().String()); err != nil {
		return errors.Join(err, l.Close())
	}
	if o.Key == nil {
		fmt.Fprintln(a.stderr, "warning: without --key-file only what is signed already or content-addressed will be taken by others")
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// What is being sent may end, though the command itself is asked to.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		err = server.Close()
		<-ended
		return err
	}
	<-ended // http.ErrServerClosed
	return nil
}

func (a *app) cacheKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "key NAME FILE",
		Short: "Make a key that signs: the secret goes to FILE, the public key is printed",
		Long: `Make a key that signs. The secret goes to FILE, which must not exist and which only its owner can read; the public key is printed:
whoever is to trust the key names it, by --trusted-key, in caches.yaml or as one of Nix's trusted-public-keys. NAME tells keys apart, by
custom the cache's host and a number, such as cache.example-1.`,
		Args: cobra.MatchAll(minArgs(2), maxArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := narinfo.GenerateKey(args[0], rand.Reader)
			if err != nil {
				return &usageError{err}
			}
			f, err := os.OpenFile(args[1], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = f.WriteString(key.Text() + "\n")
			if err := errors.Join(err, f.Close()); err != nil {
				return errors.Join(err, os.Remove(args[1]))
			}
			return a.result("key", key.Public().String())
		},
	}
}

// readKey reads a secret key; nil if no file is given.
func readKey(name string) (*narinfo.SecretKey, error) {
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	key, err := narinfo.ParseSecretKey(string(data))
	if err != nil {
		return nil, &inputError{fmt.Errorf("%s: %w", name, err), "headwater cache key makes one"}
	}
	return &key, nil
}

func minArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return &usageError{fmt.Errorf("%s takes at least %d arguments, got %d: %s", cmd.Name(), n, len(args), cmd.Use)}
		}
		return nil
	}
}

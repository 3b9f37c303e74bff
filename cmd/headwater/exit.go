package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"headwater/internal/artifact"
	"headwater/internal/attest"
	"headwater/internal/cache"
	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/daemon"
	"headwater/internal/export"
	"headwater/internal/fetch"
	"headwater/internal/graph"
	"headwater/internal/image"
	"headwater/internal/keyless"
	"headwater/internal/lock"
	"headwater/internal/pathroot"
	"headwater/internal/pin"
	"headwater/internal/recipe"
	"headwater/internal/recipe/merge"
	"headwater/internal/registry"
	"headwater/internal/run"
	"headwater/internal/sandbox"
	"headwater/internal/source"
	"headwater/internal/source/obtain"
	"headwater/internal/verify"
)

// The exit codes. They are part of the command line's contract.
const (
	exitFailed      = 1 // a build or a check failed: the thing built is at fault
	exitInput       = 2 // arguments, recipe, lock or source are not right
	exitEnvironment = 3 // network, registry, disk or kernel did not give what is needed
	exitInternal    = 4 // a fault of Headwater's own
	exitInterrupted = 130
)

func exitTable() string {
	return `Exit codes: 0 done · 1 a build, a check or the service failed · 2 arguments, recipe, lock or source are not right ·
3 network, registry, disk or kernel did not give what is needed · 4 internal fault · 130 interrupted`
}

// usageError is a wrong use of the command line.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// Hint says what to do.
func (e *usageError) Hint() string { return "see headwater --help" }

// report tells the user about err and returns the exit code.
func (a *app) report(err error, interrupted bool) int {
	if err == nil {
		return 0
	}
	code := exitCode(err, interrupted)
	text, hint := err.Error(), hintOf(err)
	gone, rest := splitGone(err)
	if len(gone) > 0 {
		text, hint = goneText(gone, rest), goneHint(gone)
	}
	if a.json {
		event := map[string]any{"v": 1, "event": "error", "error": text, "hint": hint, "exit": code}
		if len(gone) > 0 {
			event["gone"] = goneKeys(gone)
		}
		line, _ := json.Marshal(event)
		fmt.Fprintf(a.stderr, "%s\n", line)
		return code
	}
	fmt.Fprintf(a.stderr, "headwater: %s\n", text)
	if hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", hint)
	}
	return code
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func exitCode(err error, interrupted bool) int {
	switch {
	case interrupted || errors.Is(err, context.Canceled):
		return exitInterrupted
	case is[*engine.BuildFailed](err), is[*failedCheck](err), is[*cache.DamagedError](err), is[*run.EndedError](err), is[*run.UnhealthyError](err):
		return exitFailed
	case is[*usageError](err), is[*recipe.InvalidError](err), is[*recipe.SyntaxError](err), is[*graph.StaleLockError](err), is[*graph.NoFileError](err), is[*lock.FormatError](err), is[*lock.SyntaxError](err),
		is[*source.BadTreeError](err), is[*inputError](err), is[*export.OccupiedError](err), is[*export.InexpressibleError](err), is[*registry.SettingsError](err), is[*cache.AddressError](err), is[*engine.ContentError](err),
		is[*obtain.UnknownError](err), is[*obtain.BadArchiveError](err), is[*merge.SyntaxError](err), is[*pathroot.UnfitError](err), is[*pathroot.ChangedError](err), is[*daemon.AddressError](err), is[*pin.UnusedError](err), is[*pin.OtherBytesError](err), is[*verify.AddressError](err), is[*verify.BusyError](err),
		is[*attest.KeyError](err), is[*keyless.TokenError](err), is[*keyless.AddressError](err), is[*image.SpecError](err), is[*image.RefError](err), is[*image.OccupiedError](err), is[*image.UnreadableError](err):
		return exitInput
	case is[*obtain.GitError](err), is[*fetch.Error](err), is[artifact.Gone](err), is[*sandbox.Unavailable](err), is[*registry.UnknownError](err), is[*run.PortError](err), is[*cache.Error](err), is[*net.OpError](err), is[*fs.PathError](err), is[*os.SyscallError](err), is[*daemon.ConnectError](err), is[*daemon.Error](err),
		is[*pathroot.MissingError](err), is[*dag.MissingError](err), is[*image.Error](err), is[*image.DamagedError](err), is[*keyless.Error](err):
		return exitEnvironment
	}
	return exitInternal
}

func is[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

// inputError is a mistake in what the user gave, with a hint.
type inputError struct {
	error
	hint string
}

func (e *inputError) Unwrap() error { return e.error }

// Hint says what to do.
func (e *inputError) Hint() string { return e.hint }

// failedCheck says that something that was to be judged is not sound.
type failedCheck struct{ error }

func (e *failedCheck) Unwrap() error { return e.error }

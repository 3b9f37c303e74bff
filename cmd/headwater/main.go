// Command headwater builds any release of a self-hosted service from that service's own source and runs it.
//
// This package composes the stages: flags to options, one call, render. Environment, arguments and clock enter here alone.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"headwater/internal/run"
	"headwater/internal/sandbox"
	"headwater/internal/verify"
)

func main() {
	// A builder's sandbox is set up by this very program, started again under another name.
	sandbox.RunInit()
	run.RunInit()
	verify.RunInit()
	os.Exit(execute())
}

// execute is the whole program; it returns the exit code.
func execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	a := newApp()
	err := a.command().ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	return a.report(err, interrupted)
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "headwater",
		Short:         "Build a self-hosted service from its own source, and run it",
		Long:          "Headwater builds any release of a self-hosted service from that service's own source and runs it.\nDIR is the folder that holds headwater.yaml, by default the current one.\n\n" + exitTable(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			a.storeDir, err = filepath.Abs(a.storeDir)
			return err
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&a.storeDir, "store", a.defaultStore(), "folder of the store") // relative to the working folder where HOME is not set
	f.BoolVar(&a.json, "json", false, "write progress and results as JSON lines")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "show every line of builders' output")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(a.lockCommand(), a.buildCommand(), a.graphCommand(), a.exportCommand(), a.runCommand(), a.verifyCommand(), a.imageCommand(), a.sbomCommand(), a.checkCommand(), a.inspectCommand(), a.logCommand(), a.storeCommand(), a.cacheCommand(), a.doctorCommand(), a.schemaCommand(), a.planCommand(), a.diffCommand())
	return root
}

package daemon_test

const fullName = "headwater-daemon-test-full"

func fillDisk(dir string, args []string) error { return nil }

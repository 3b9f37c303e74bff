package store_test

func churn(dir, seed string) error { return nil }
func fill() error                  { return nil }

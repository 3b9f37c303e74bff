# People's habits; each target is one ordinary command.
.PHONY: build test vet
build:
	CGO_ENABLED=0 go build -trimpath -o headwater ./cmd/headwater
test:
	go test -timeout 60m ./...
vet:
	go vet ./...

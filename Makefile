# People's habits; each target is one ordinary command.
.PHONY: build test vet
build:
	CGO_ENABLED=0 go build -trimpath -o headwater ./cmd/headwater
test:
	go test -timeout 45m ./...
vet:
	go vet ./...

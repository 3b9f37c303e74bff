package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// generated makes a tree of n files as large services have them: a Go server that embeds a web UI, a web UI of 1,500 locked packages, a
// Python application of 250, migrations, and many source files of which the plan needs few. The
// size is that of all content, in bytes.
func generated(n int) (files map[string]string, size int) {
	files = map[string]string{
		"Dockerfile": `FROM node:24 AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci
COPY web .
RUN npm run build
FROM golang:1.25 AS server
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=web /src/web/dist web/dist
RUN CGO_ENABLED=0 go build -o /server ./cmd/server
FROM debian:13
WORKDIR /app
COPY --from=server /server /app/server
COPY assets /app/assets
EXPOSE 8080
USER 1000:1000
CMD ["/app/server"]
`,
		"go.mod": "module service.example/server\n\ngo 1.25.1\n", "go.sum": "",
		"cmd/server/main.go":    "package main\n\nimport _ \"service.example/server/internal/p0\"\n\nfunc main() {}\n",
		"web/package.json":      `{"name": "web", "version": "1.0.0", "scripts": {"build": "vite build"}}`,
		"web/package-lock.json": npmLock(1500),
		"pyproject.toml":        "[project]\nname = \"app\"\nversion = \"1.0.0\"\n",
	}
	for i := 0; len(files) < n; i++ {
		switch i % 5 {
		case 0:
			files[fmt.Sprintf("internal/p%d/p.go", i/5)] = fmt.Sprintf("package p%d\n\nimport \"fmt\"\n\nfunc F() { fmt.Println(%d) }\n%s", i/5, i, strings.Repeat("// filling\n", 100))
		case 1:
			files[fmt.Sprintf("web/src/c%d/view.ts", i)] = strings.Repeat("export const x = 1;\n", 60)
		case 2:
			files[fmt.Sprintf("app/m%d/models.py", i)] = strings.Repeat("x = 1\n", 100)
		case 3:
			files[fmt.Sprintf("app/m%d/migrations/%04d_change.py", i%50, i)] = "# a migration\n"
		case 4:
			files[fmt.Sprintf("docs/d%d/page.md", i)] = strings.Repeat("words of a page\n", 80)
		}
	}
	for _, content := range files {
		size += len(content)
	}
	return files, size
}

// write writes files below a folder.
func write(dir string, files map[string]string) error {
	for name, content := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

func npmLock(n int) string {
	var b strings.Builder
	b.WriteString("{\"name\": \"web\", \"version\": \"1.0.0\", \"lockfileVersion\": 3, \"packages\": {\n\"\": {\"name\": \"web\", \"version\": \"1.0.0\"}")
	for i := range n {
		fmt.Fprintf(&b, ",\n\"node_modules/p%d\": {\n\"version\": \"1.0.%d\",\n\"resolved\": \"https://registry.invalid/p%d/-/p%d-1.0.%d.tgz\",\n\"integrity\": \"sha512-%s==\"\n}", i, i, i, i, i, strings.Repeat("A", 86))
	}
	b.WriteString("\n}}\n")
	return b.String()
}

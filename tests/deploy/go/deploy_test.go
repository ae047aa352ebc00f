// Checks of what docker/ describes, by the libraries that Docker itself reads such files with.
package deploy

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

var root = filepath.Join("..", "..", "..")

func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker", "compose.yaml")},
		cli.WithWorkingDirectory(filepath.Join(root, "docker")))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// The file is what the Compose specification allows, and its services, volumes and dependencies fit together.
func TestComposeLoads(t *testing.T) {
	loaded := project(t)
	for _, name := range []string{"coordinator", "worker-1", "worker-2", "minio", "nessie", "postgres", "grafana", "jupyter"} {
		if _, err := loaded.GetService(name); err != nil {
			t.Errorf("service %s: %v", name, err)
		}
	}
}

// Nobody logs in: no port may be published beyond this machine.
func TestComposePublishesOnLoopbackAlone(t *testing.T) {
	for name, service := range project(t).Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("service %s publishes %s on %q", name, port.Published, port.HostIP)
			}
		}
	}
}

// Images are named with their version, and files that are mounted are there.
func TestComposePinsAndFinds(t *testing.T) {
	loaded := project(t)
	for name, service := range loaded.Services {
		if service.Build == nil && (!strings.Contains(service.Image, ":") || strings.HasSuffix(service.Image, ":latest")) {
			t.Errorf("service %s: image %q has no version", name, service.Image)
		}
	}
	for name, config := range loaded.Configs {
		if _, err := os.Stat(config.File); err != nil {
			t.Errorf("config %s: %v", name, err)
		}
	}
}

// The Dockerfile parses, and BuildKit's own linter has nothing to say.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docker", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	lint := linter.New(&linter.Config{
		Warn: func(name, description, url, message string, location []parser.Range) {
			t.Errorf("%s: %s (%v)", name, message, location)
		},
	})
	stages, _, err := instructions.Parse(tree.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	last := stages[len(stages)-1]
	user := ""
	for _, command := range last.Commands {
		switch command := command.(type) {
		case *instructions.UserCommand:
			user = command.User
		case *instructions.AddCommand:
			t.Errorf("ADD where COPY would do: %s", command)
		}
	}
	if user == "" || user == "root" || user == "0" {
		t.Errorf("the image runs as %q", user)
	}
	if !strings.Contains(last.BaseName, ":") {
		t.Errorf("base image %q has no version", last.BaseName)
	}
}

// Command scores is a claim source for Countersign: what a JSON file says of users, over countersign.plugin.v1 on a
// Unix socket.
//
// The file is an object, user id to claims: {"123456": {"number": 42}}. README.md has the commands.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"countersign.example/scores/gen/pluginv1"
)

// claims are what is known of one user. Their values are handed on as they stand, so that numbers stay exact.
type claims map[string]json.RawMessage

// scores keeps nothing between calls: each Fetch says everything, so this process may be restarted at any time.
type scores struct {
	pluginv1.UnimplementedClaimSourceServer
	users map[string]claims
}

// Describe leaves `sets` empty, which means any claim: the file decides.
func (s *scores) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{Name: "scores", Version: "1", Identifiers: []string{"user_id"}}, nil
}

// Validate knows one setting, `fresh_secs`: how long Countersign may keep an answer.
func (s *scores) Validate(_ context.Context, request *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(request.SettingsJson, &settings); err != nil {
		return nil, err
	}
	response := &pluginv1.ValidateResponse{}
	problem := func(key, wrong, right string) {
		response.Problems = append(response.Problems, &pluginv1.Problem{Key: key, Wrong: wrong, Right: right})
	}
	for key, value := range settings {
		var seconds *int64
		if key != "fresh_secs" {
			problem(key, "is not a setting", "fresh_secs")
		} else if json.Unmarshal(value, &seconds) != nil || seconds == nil || *seconds < 0 || *seconds > 86400 {
			problem(key, "is no time", "whole seconds, 0 to 86400")
		}
	}
	return response, nil
}

// Fetch answers with those of the wanted claims that the user has.
func (s *scores) Fetch(_ context.Context, request *pluginv1.FetchRequest) (*pluginv1.FetchResponse, error) {
	user, known := s.users[request.GetUserId()]
	if !known {
		return &pluginv1.FetchResponse{Outcome: &pluginv1.FetchResponse_NotFound{NotFound: &pluginv1.NotFound{}}}, nil
	}
	wanted := claims{}
	for _, name := range request.Wanted {
		if value, has := user[name]; has {
			wanted[name] = value
		}
	}
	text, err := json.Marshal(wanted)
	if err != nil {
		return nil, err
	}
	found := &pluginv1.Found{ClaimsJson: text}
	var settings struct {
		FreshSecs *int64 `json:"fresh_secs"`
	}
	if err := json.Unmarshal(request.SettingsJson, &settings); err != nil {
		return nil, err
	}
	if settings.FreshSecs != nil {
		found.FreshFor = durationpb.New(time.Duration(*settings.FreshSecs) * time.Second)
	}
	return &pluginv1.FetchResponse{Outcome: &pluginv1.FetchResponse_Found{Found: found}}, nil
}

func main() {
	socket := flag.String("socket", "", "where to listen: the path of a Unix socket")
	users := flag.String("users", "", "the JSON file of users")
	flag.Parse()
	source, err := read(*users)
	if err == nil {
		err = serve(*socket, source)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func read(path string) (*scores, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	source := &scores{}
	if err := json.Unmarshal(text, &source.users); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return source, nil
}

func serve(socket string, source *scores) error {
	// Before anybody can connect: no signal comes too early.
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	// What an earlier process left behind.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The socket is for its owner and its group: whoever can open it can read everybody's claims.
	syscall.Umask(0o117)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	pluginv1.RegisterClaimSourceServer(server, source)
	context.AfterFunc(ended, server.GracefulStop)
	return server.Serve(listener)
}

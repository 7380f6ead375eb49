// SPDX-License-Identifier: Apache-2.0

// echo-go SOCKET: JSON-RPC, a line a message; a goroutine a connection; one write answers what one read brought.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
)

type request struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

type response struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result"`
}

func serve(connection net.Conn) error {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 65536)
	writer := bufio.NewWriterSize(connection, 65536)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		var call request
		if err := json.Unmarshal(line, &call); err != nil {
			return err
		}
		if call.JSONRPC != "2.0" || call.Method != "echo.echo" {
			return fmt.Errorf("no such method: %s", call.Method)
		}
		answer, err := json.Marshal(response{"2.0", call.ID, call.Params})
		if err != nil {
			return err
		}
		writer.Write(answer)
		writer.WriteByte('\n')
		if reader.Buffered() != 0 {
			continue
		}
		if err := writer.Flush(); err != nil {
			return err
		}
	}
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: echo-go SOCKET")
		os.Exit(2)
	}
	listener, err := net.Listen("unix", os.Args[1])
	for err == nil {
		var connection net.Conn
		if connection, err = listener.Accept(); err == nil {
			go serve(connection)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

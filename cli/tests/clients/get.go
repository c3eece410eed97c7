// Package main is net/http of Go: it asks for each file of a list, and compares what comes with its SHA-256.
//
// Arguments: the beginning of each URL, the list, in the form of sha256sum, and how many ask at a time.
package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func fetch(client *http.Client, url, wanted string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	hash := sha256.New()
	length, err := io.Copy(hash, response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != 200 || fmt.Sprintf("%x", hash.Sum(nil)) != wanted {
		return fmt.Errorf("%s, %d bytes", response.Status, length)
	}
	return nil
}

func main() {
	list, err := os.Open(os.Args[2])
	if err != nil {
		panic(err)
	}
	askers, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = askers
	transport.MaxConnsPerHost = askers
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	lines := make(chan []string)
	var count, failures int64
	var all sync.WaitGroup
	for asker := 0; asker < askers; asker++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for line := range lines {
				atomic.AddInt64(&count, 1)
				if err := fetch(client, os.Args[1]+"/"+line[1], line[0]); err != nil {
					atomic.AddInt64(&failures, 1)
					fmt.Fprintln(os.Stderr, line[1], err)
				}
			}
		}()
	}
	scanner := bufio.NewScanner(list)
	for scanner.Scan() {
		lines <- strings.Fields(scanner.Text())
	}
	close(lines)
	all.Wait()
	fmt.Printf("%d requests, %d failures\n", count, failures)
}

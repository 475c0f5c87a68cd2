// Reads a topic with franz-go, decodes each value by its schema in the registry with hamba/avro, and prints JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

func main() {
	brokers, registry, topic := os.Args[1], os.Args[2], os.Args[3]
	count, err := strconv.Atoi(os.Args[4])
	check(err)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers),
		kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	check(err)
	defer client.Close()
	schemas, err := sr.NewClient(sr.URLs(registry))
	check(err)
	known := map[int]avro.Schema{}
	output := json.NewEncoder(os.Stdout)
	for count > 0 {
		fetches := client.PollFetches(context.Background())
		if errs := fetches.Errors(); len(errs) > 0 {
			check(errs[0].Err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			id, datum, err := new(sr.ConfluentHeader).DecodeID(record.Value)
			check(err)
			if known[id] == nil {
				found, err := schemas.SchemaByID(context.Background(), id)
				check(err)
				parsed, err := avro.Parse(found.Schema)
				check(err)
				known[id] = parsed
			}
			var data any
			check(avro.Unmarshal(known[id], datum, &data))
			check(output.Encode(map[string]any{"key": string(record.Key), "data": data}))
			count--
		})
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Judges one history with Porcupine: the peer of our own search in `make bench`.
//
// Reads the parts of a history as JSON from standard input and prints the verdict and the seconds that the search took. The models
// are those of crates/gossip-check/src/model, and the same parts went to our search, so both look through the same space.
package main

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

type history struct {
	// "register" or "shard".
	Model string `json:"model"`
	Parts []part `json:"parts"`
}

type part struct {
	Start *string `json:"start"`
	End   *string `json:"end"`
	// Fences that an unanswered grant can have made.
	LostFences []int64 `json:"lost_fences"`
	// Fences with a renewal that was never answered.
	Unsure []int64     `json:"unsure"`
	Ops    []operation `json:"ops"`
}

type operation struct {
	Invoked  int64  `json:"invoked"`
	Answered *int64 `json:"answered"`
	F        string `json:"f"`
	Input    input  `json:"input"`
	Output   output `json:"output"`
}

type input struct {
	Worker int64   `json:"worker"`
	Fence  int64   `json:"fence"`
	Cursor *string `json:"cursor"`
	From   int64   `json:"from"`
	To     int64   `json:"to"`
}

type output struct {
	Fence    int64   `json:"fence"`
	Cursor   *string `json:"cursor"`
	Granted  int64   `json:"granted"`
	Deadline int64   `json:"deadline"`
	Value    *int64  `json:"value"`
	Swapped  bool    `json:"swapped"`
}

// One call as the models see it. A call without an answer may come at any time after its invocation: last of all, if it never happened.
type call struct {
	operation
	part *shardPart
}

func (c call) answered() bool { return c.operation.Answered != nil }

type shardPart struct {
	start, end         string
	bounded            bool
	lostFences, unsure map[int64]bool
}

const none = -1

type shardState struct {
	made     bool
	fence    int64
	holder   int64 // none: no lease
	deadline int64 // none: unknown
	clock    int64
	cursor   string // empty: none
}

func stepShard(state shardState, c call) (bool, shardState) {
	possible, next := tryShard(state, c)
	if !possible && !c.answered() {
		return true, state
	}
	return possible, next
}

func tryShard(state shardState, c call) (bool, shardState) {
	if c.F == "create" {
		return !state.made, shardState{made: true, holder: none, deadline: none}
	}
	if !state.made {
		return false, state
	}
	switch c.F {
	case "grant":
		return grant(state, c)
	case "read":
		fits := !c.answered() || state.fence == c.Output.Fence && state.cursor == text(c.Output.Cursor)
		return fits, state
	default:
		if c.Input.Fence != state.fence || c.Input.Worker != state.holder {
			return false, state
		}
		return write(state, c)
	}
}

func grant(state shardState, c call) (bool, shardState) {
	next := state
	next.fence++
	next.holder, next.deadline = c.Input.Worker, none
	if !c.answered() {
		return c.part.lostFences[next.fence], next
	}
	out := c.Output
	held := state.holder != none && state.deadline != none && out.Granted < state.deadline
	if held || out.Granted < state.clock || out.Fence != next.fence || text(out.Cursor) != state.cursor {
		return false, state
	}
	next.clock = out.Granted
	if !c.part.unsure[next.fence] {
		next.deadline = out.Deadline
	}
	return true, next
}

func write(state shardState, c call) (bool, shardState) {
	next := state
	switch c.F {
	case "renew":
		if !c.answered() {
			return true, state
		}
		if state.deadline != none && state.deadline <= c.Output.Granted || c.Output.Granted < state.clock {
			return false, state
		}
		if state.deadline != none {
			next.deadline = c.Output.Deadline
		}
		next.clock = c.Output.Granted
	case "checkpoint":
		key := text(c.Input.Cursor)
		if key < state.cursor || key < c.part.start || c.part.bounded && c.part.end <= key {
			return false, state
		}
		next.cursor = key
	case "release":
		next.holder, next.deadline = none, none
	default:
		panic("no such call of a shard: " + c.F)
	}
	return true, next
}

func stepRegister(state *int64, c call) (bool, *int64) {
	equal := func(a, b *int64) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
	switch c.F {
	case "read":
		return !c.answered() || equal(state, c.Output.Value), state
	case "write":
		return true, &c.Input.To
	case "cas":
		fits := state != nil && *state == c.Input.From
		if c.answered() && fits != c.Output.Swapped {
			return false, state
		}
		if fits {
			return true, &c.Input.To
		}
		return true, state
	default:
		panic("no such call of a register: " + c.F)
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func set(of []int64) map[int64]bool {
	members := make(map[int64]bool, len(of))
	for _, member := range of {
		members[member] = true
	}
	return members
}

// All calls, each with its part, so that Porcupine's own partitioning finds them again.
func operations(h history) []porcupine.Operation {
	var all []porcupine.Operation
	for i := range h.Parts {
		p := h.Parts[i]
		shared := &shardPart{start: text(p.Start), end: text(p.End), bounded: p.End != nil, lostFences: set(p.LostFences), unsure: set(p.Unsure)}
		for _, op := range p.Ops {
			back := int64(math.MaxInt64)
			if op.Answered != nil {
				back = *op.Answered
			}
			all = append(all, porcupine.Operation{Input: call{op, shared}, Call: op.Invoked, Return: back})
		}
	}
	return all
}

func partition(all []porcupine.Operation) [][]porcupine.Operation {
	places := map[*shardPart]int{}
	var parts [][]porcupine.Operation
	for _, op := range all {
		shared := op.Input.(call).part
		place, known := places[shared]
		if !known {
			place = len(parts)
			places[shared] = place
			parts = append(parts, nil)
		}
		parts[place] = append(parts[place], op)
	}
	return parts
}

func model(name string) porcupine.Model {
	seed := maphash.MakeSeed()
	if name == "register" {
		return porcupine.Model{
			Partition: partition,
			Init:      func() any { return (*int64)(nil) },
			Step: func(state, in, _ any) (bool, any) {
				return stepRegister(state.(*int64), in.(call))
			},
			Equal: func(a, b any) bool {
				x, y := a.(*int64), b.(*int64)
				return x == nil && y == nil || x != nil && y != nil && *x == *y
			},
		}
	}
	return porcupine.Model{
		Partition: partition,
		Init:      func() any { return shardState{holder: none, deadline: none} },
		Step: func(state, in, _ any) (bool, any) {
			return stepShard(state.(shardState), in.(call))
		},
		Hash: func(state any) uint64 { return maphash.Comparable(seed, state.(shardState)) },
	}
}

func main() {
	var h history
	if err := json.NewDecoder(os.Stdin).Decode(&h); err != nil {
		fmt.Fprintln(os.Stderr, "porcupine: standard input:", err)
		os.Exit(1)
	}
	all, spec := operations(h), model(h.Model)
	begun := time.Now()
	verdict := porcupine.CheckOperationsTimeout(spec, all, 2*time.Minute)
	fmt.Printf("%s %.6f\n", verdict, time.Since(begun).Seconds())
}

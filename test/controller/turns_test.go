package controller

import (
	"cmp"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// turns decides which of the tests that could run at the same time do: the longest ones first, and as many at a time as
// the machine can bear. A test that only lets time pass gives its turn to another one meanwhile. Neither is possible
// with the testing package alone, which takes parallel tests in any order, and counts the idle ones.
type turns struct {
	mutex   sync.Mutex
	free    int
	waiting []*turn
}

// turn is a test's. It runs from when it has one.
type turn struct {
	queue *turns
	name  string
	cost  int
	// begin is closed when the test has the turn.
	begin chan struct{}
	// has says that it has it, and has not given it back. The queue's mutex guards it.
	has bool
}

// machine has the turns of all tests of the package.
var machine = &turns{}

// limit says how many tests run at a time: what -parallel says, or one more than there are processors, since about
// every third test waits for something. All tests may then begin, as far as the testing package is concerned.
func limit() error {
	machine.free = runtime.GOMAXPROCS(0) + 1
	var err error
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "test.parallel" {
			machine.free, err = strconv.Atoi(f.Value.String())
		}
	})
	if err != nil {
		return fmt.Errorf("-parallel: %w", err)
	}
	return flag.Set("test.parallel", "1000")
}

// parallel is t.Parallel in turns. The cost is about how many seconds the test takes, and decides nothing but the
// order. A test gives its turn back when it ends, or before, with leave: when only its subtests have something left to
// do, or only time.
//
// It queues before t.Parallel, which returns when all others are known as well: the order does not depend on who is
// scheduled first.
func parallel(t *testing.T, cost int) *turn {
	t.Helper()
	own := machine.enter(t.Name(), cost)
	t.Cleanup(own.leave)
	t.Parallel()
	machine.next()
	<-own.begin
	return own
}

// enter queues for a turn.
func (q *turns) enter(name string, cost int) *turn {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	own := &turn{queue: q, name: name, cost: cost, begin: make(chan struct{})}
	q.waiting = append(q.waiting, own)
	return own
}

// leave gives the turn back. It may be called more than once.
func (own *turn) leave() {
	own.queue.mutex.Lock()
	if own.has {
		own.has = false
		own.queue.free++
	}
	own.queue.mutex.Unlock()
	own.queue.next()
}

// next begins as many turns as there may be.
func (q *turns) next() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	slices.SortStableFunc(q.waiting, func(a, b *turn) int {
		return cmp.Or(-cmp.Compare(a.cost, b.cost), cmp.Compare(a.name, b.name))
	})
	for q.free > 0 && len(q.waiting) > 0 {
		first := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.free--
		first.has = true
		close(first.begin)
	}
}

// TestTurns goes through a queue: who has a turn after each step.
func TestTurns(t *testing.T) {
	q := &turns{free: 2}
	all := []*turn{q.enter("short", 1), q.enter("long", 3), q.enter("b", 2), q.enter("a", 2)}
	ends := func(name string) func() {
		return func() { all[slices.IndexFunc(all, func(w *turn) bool { return w.name == name })].leave() }
	}
	for _, step := range []struct {
		reason string
		do     func()
		want   []string
	}{
		{"tests queue before all are known", func() {}, []string{}},
		{"the longest are first, as many as there may be", q.next, []string{"a", "long"}},
		{"asked again, nothing changes", q.next, []string{"a", "long"}},
		{"the next one takes the place", ends("long"), []string{"a", "b"}},
		{"who has given back its turn has none to give", ends("long"), []string{"a", "b"}},
		{"the shortest is last", ends("b"), []string{"a", "short"}},
		{"nobody is left", ends("a"), []string{"short"}},
	} {
		step.do()
		got := []string{}
		for _, w := range all {
			select {
			case <-w.begin:
				if w.has {
					got = append(got, w.name)
				}
			default:
			}
		}
		slices.Sort(got)
		if diff := gocmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", step.reason, diff)
		}
	}
}

package engine

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// line is a pipeline that keeps order: one producer, several workers, one consumer that
// gets the jobs in the order in which they were produced. The number of jobs bounds the
// memory: a job is used again once it was consumed, so a steady state allocates nothing.
//
//	produce (sequential) --work--> work (parallel) ---+
//	        \--------------order---------------> consume (sequential) --free--> produce
//
// Who closes: produce's return closes work and order.
type line[J any] struct {
	ctx   context.Context
	free  chan *item[J]
	work  chan *item[J]
	order chan *item[J]
}

// item is a job on its way; done carries one token when its worker is through.
type item[J any] struct {
	job  J
	done chan struct{}
}

// stages are the three functions of a line.
type stages[J any] struct {
	produce func(l *line[J]) error                         // calls take and put until it is done
	work    func(ctx context.Context, n int, job *J) error // n is the worker, 0 to workers-1
	consume func(ctx context.Context, job *J) error
	abort   func(error) // wakes a stage that waits for a peer
}

// runLine runs the stages until produce has returned and every job is consumed, or until
// the first error.
func runLine[J any](ctx context.Context, jobs, workers int, s stages[J]) error {
	g, ctx := errgroup.WithContext(ctx)
	run := func(stage func() error) {
		g.Go(func() error {
			err := stage()
			if err != nil {
				s.abort(err)
			}
			return err
		})
	}
	l := &line[J]{ctx: ctx, free: make(chan *item[J], jobs), work: make(chan *item[J], jobs), order: make(chan *item[J], jobs)}
	for range jobs {
		l.free <- &item[J]{done: make(chan struct{}, 1)}
	}
	run(func() error {
		defer close(l.order)
		defer close(l.work)
		return s.produce(l)
	})
	for n := range workers {
		run(func() error {
			for it := range l.work {
				if err := s.work(ctx, n, &it.job); err != nil {
					return err
				}
				it.done <- struct{}{}
			}
			return nil
		})
	}
	run(func() error { return l.consumeAll(s.consume) })
	return g.Wait()
}

func (l *line[J]) consumeAll(consume func(context.Context, *J) error) error {
	for it := range l.order {
		select {
		case <-it.done:
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
		if err := consume(l.ctx, &it.job); err != nil {
			return err
		}
		l.free <- it
	}
	return nil
}

// take waits for a job that the producer may fill.
func (l *line[J]) take() (*item[J], error) {
	if l.ctx.Err() != nil {
		return nil, context.Cause(l.ctx)
	}
	select {
	case it := <-l.free:
		return it, nil
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
}

// put hands a filled job on. It never blocks: there are not more jobs than places.
func (l *line[J]) put(it *item[J]) {
	l.order <- it
	l.work <- it
}

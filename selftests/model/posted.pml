// SPDX-License-Identifier: GPL-2.0-only
/*
 * The protocol of posted interrupts as a model for spin: one vCPU with its descriptor, NCPU CPUs,
 * senders, a device, CPU hotplug. Nothing is counted: every process may act for ever, so what is
 * checked holds for all interleavings of any length. Left out: IRR's order and priorities (any
 * interrupt may be taken), requests that wait for an EOI (`staged`), other vCPUs.
 *
 * Each process plays code that stands in the tree. One step is one access that others may see;
 * what all others do under the same lock is one step:
 *
 *   model                              code
 *   -----                              ----
 *   software()                         posted.h: posted_request(); posted_intr.c: backend_notify()
 *   device()                           VT-d: PIR; if ON = 0 and SN = 0 then ON, and NV to NDST
 *   assign()                           posted_intr.c: backend_device_added(), .._removed()
 *   hotplug(), leave_list()            posted_intr.c: pi_cpu_offline(), leave_list_locked()
 *   interrupts()                       posted_intr.c: wake_sleepers(); vectors that come too late
 *   pi_load(), sched_out()             posted_intr.c: pi_load(), pi_put(); vcpu.c: vcpu_sched_out()
 *   pre_block(), post_block()          posted_intr.c: backend_pre_block(), backend_post_block()
 *   block()                            halt.c: vcpu_block(), with rcuwait's dance
 *   fold(), look()                     vlapic.c: vlapic_fold(); enter.c: arch_vcpu_runnable()
 *   enter()                            enter.c: arch_vcpu_enter(), must_not_enter(); the processor
 *
 * Plain stores that a load of the same CPU may overtake (x86's only reordering) are modelled where
 * the protocol depends on them: ->mode lies in `buffered` until a barrier or store_buffer() takes
 * it to memory. Locked instructions are barriers.
 *
 * Which processes there are is chosen by -DSENDERS=n, -DVECTORS=n, -DDEVICE (which comes
 * one day), -DASSIGNED (is there), -DREMOVAL (goes again), -DHOTPLUG; -DBUG_... puts a bug in, and
 * -DONLY=n watches one property; -DAT_ONCE lets exits be handled between two entries: see the list in
 * `run`.
 */
#define NCPU      2
#define NO_CPU    NCPU

#define OUTSIDE  0
#define IN_GUEST 1
#define EXITING  2
#define NOTHING  3

#define NOTIFICATION 0
#define WAKEUP       1

/* The descriptor. */
byte pir;
bool on, sn = true;
bit nv = NOTIFICATION;
byte ndst;

/* struct vcpu, struct vmx_vcpu, struct vlapic */
bool stays; /* the guest has come out, and goes on at once */
byte mode = OUTSIDE, buffered = NOTHING;
byte cpu = NO_CPU;     /* ->cpu */
byte pi_cpu = NO_CPU;  /* on whose list */
bool req;              /* REQ_POSTING */
bool irr;              /* something is in IRR */
bool halted;
bool waiting;          /* rcuwait: published, and TASK_INTERRUPTIBLE */

/* Where the thread is, which only the scheduler and the processor know. */
byte at;
bool running, asleep, inguest, irqs_off;

/* The CPUs. */
bool online[NCPU] = true, usable[NCPU] = true;
bool notified, kicked; /* vectors that are pending on the thread's CPU, while it has them masked */
bool woken[NCPU];      /* the wakeup vector is pending */
bool lock[NCPU], onlist[NCPU];

#ifdef ASSIGNED
bool posting = true;   /* has_posting_devices() */
#else
bool posting;
#endif
bool hardware;         /* posted-interrupt processing, or exits and injection */

/* Who is on the way. */
byte sending;
bool device_sends, assigning, draining, handling, folding, loading;

#define ON_THE_WAY (sending || device_sends || assigning || draining || handling || folding || \
		    woken[0] || woken[1])

/* --- properties --- */

bool P2 = true, P4 = true, P5 = true, SN = true;

/* Requests in PIR without ON, and nobody who is about to set it or to take them. */
#define P2_BROKEN (pir && !sn && !on && !folding && !loading && !sending && !device_sends)
#define P4_BROKEN (!lock[0] && !lock[1] && \
		   ((onlist[0] || onlist[1]) != (nv == WAKEUP) || \
		    (onlist[0] && onlist[1]) || \
		    (nv == WAKEUP && (sn || ndst != pi_cpu || !onlist[pi_cpu]))))
/* It sleeps, or is in the guest, for ever: nothing is left that would end it. */
#define SLEEPS_ON  (asleep && waiting && (pir || irr))
#define RUNS_ON    (inguest && (pir || req) && !notified && !kicked)
#define P5_BROKEN  ((SLEEPS_ON || RUNS_ON) && !ON_THE_WAY)
/* Only a preempted thread may do without notifications. */
#define SN_BROKEN  (sn && running && !loading)

active proctype monitor()
{
	if
#if !defined(ONLY) || ONLY == 2
	:: atomic { P2_BROKEN -> P2 = false }
#endif
#if !defined(ONLY) || ONLY == 4
	:: atomic { P4_BROKEN -> P4 = false }
#endif
#if !defined(ONLY) || ONLY == 5
	:: atomic { P5_BROKEN -> P5 = false }
#endif
#ifndef ONLY
	:: atomic { SN_BROKEN -> SN = false }
#endif
	fi;
	assert(P2);
	assert(P4);
	assert(P5);
	assert(SN)
}

/* --- memory --- */

active proctype store_buffer()
{
	do
	:: atomic { buffered != NOTHING -> mode = buffered; buffered = NOTHING }
	od
}

inline barrier()
{
	if
	:: buffered != NOTHING -> mode = buffered; buffered = NOTHING
	:: buffered == NOTHING /* not `else`: this opens branches of others */
	fi
}

inline set_mode(m)
{
	atomic { barrier(); buffered = m }
}

inline set_control(vector, dest, suppress)
{
	nv = vector; ndst = dest; sn = suppress
}

inline acquire(c)
{
	atomic { !lock[c] -> lock[c] = true }
}

inline wake()
{
	waiting = false
}

/*
 * A vector arrives. Where it can be taken at once it is, and does nothing: a vector that takes its
 * time is a sender that takes its time. A sender on the thread's own CPU finds OUTSIDE: there it
 * interrupts the thread, which has interrupts off from the one ->mode to the other.
 */
#define MASKED_ON(c) (running && at == c && irqs_off)

inline notify(c)
{
	notified = notified || MASKED_ON(c)
}

inline kick(c)
{
	kicked = kicked || MASKED_ON(c)
}

/* --- software as a sender --- */

#if SENDERS
active [SENDERS] proctype software()
{
	byte bit_, seen = NOTHING, to;
	bool was;

	do
	:: atomic {
		sending++;
		if
		:: bit_ = 1
#if VECTORS > 1
		:: bit_ = 2
#endif
		fi
	   }
#ifdef BUG_P5_ON_BEFORE_PIR
	   atomic { was = on; on = true }
	   pir = pir | bit_;
#else
	   atomic { was = (pir & bit_) != 0; pir = pir | bit_ }
#ifdef BUG_P5_MODE_BEFORE_ON
	   seen = mode;
#endif
	   if
	   :: was
	   :: else -> atomic { was = on; on = true }
	   fi;
#endif
	   if
	   :: was
	   :: else ->
		/* backend_notify() */
#ifndef BUG_P5_MODE_BEFORE_ON
		seen = mode;
#endif
		if
		:: seen == IN_GUEST -> to = cpu; atomic { notify(to) }
		:: else -> wake()
		fi
	   fi;
	   atomic { sending--; bit_ = 0; seen = NOTHING; to = 0; was = false }
	od
}
#endif

/* --- devices --- */

#ifdef DEVICE
active proctype device()
{
	bool send;
	bit vector;
	byte to;

	do
	:: atomic { posting -> device_sends = true }
	   pir = pir | 1;
	   atomic {
		if
		:: !on && !sn -> on = true; send = true; vector = nv; to = ndst
		:: else
		fi
	   }
	   atomic {
		if
		:: send && online[to] ->
			if
			:: vector == WAKEUP -> woken[to] = onlist[to]
			:: else -> notify(to)
			fi
		:: else
		fi;
		device_sends = false; send = false; vector = 0; to = 0
	   }
	od
}

#ifndef ASSIGNED
active proctype assign()
{
	byte to;

	do
	:: atomic { !posting -> assigning = true; posting = true }
	   atomic {
		req = true;
		/* vcpu_kick() */
#ifndef BUG_P5_FIRST_DEVICE
		wake()
#endif
	   }
	   if
	   :: atomic { mode == IN_GUEST -> mode = EXITING }
	      to = cpu;
	      atomic { kick(to) }
	   :: else
	   fi;
	   atomic { assigning = false; to = 0 }
#ifdef REMOVAL
	:: atomic { posting && !device_sends -> posting = false }
#endif
	od
}
#endif
#endif

/* --- the CPUs --- */

/* One after the other: only one of the lists has a member. */
active proctype interrupts()
{
	byte me;

	do
	:: atomic {
		if
		:: woken[0] && !MASKED_ON(0)
		:: woken[1] && !MASKED_ON(1) -> me = 1
		fi;
		woken[me] = false; handling = true
	   }
	   acquire(me);
	   if
	   :: onlist[me] && on -> wake()
	   :: else
	   fi;
	   atomic { lock[me] = false; handling = false; me = 0 }
	od
}

/* ->lock of @c held, executed on @here */
inline leave_list(c, here)
{
#ifdef BUG_P4_FREE_TOO_EARLY
	atomic { onlist[c] = false; pi_cpu = NO_CPU }
	set_control_here(here)
#else
	onlist[c] = false;
	set_control_here(here);
	pi_cpu = NO_CPU
#endif
}

inline set_control_here(here)
{
	atomic { set_control(NOTIFICATION, here, false) }
}

#ifdef HOTPLUG
active proctype hotplug()
{
	do
	:: atomic { online[0] -> usable[0] = false }
	   /* The last task leaves; then the callback runs. */
	   atomic { !(running && at == 0) -> draining = true }
#ifndef BUG_P4_NO_DRAIN
	   acquire(0);
	   if
	   :: onlist[0] -> leave_list(0, 0); wake()
	   :: else
	   fi;
	   lock[0] = false;
#endif
	   atomic {
		online[0] = false; woken[0] = false; draining = false
	   }
	:: atomic { !online[0] -> online[0] = true; usable[0] = true }
	od
}
#endif

/* --- the vCPU's thread: scheduled in and out --- */

/*
 * Preemption off. What it asks before it changes the descriptor is one step with that: nobody else
 * puts the vCPU on a list, and a device that comes or goes could have done so just before.
 */
inline pi_load()
{
	atomic {
		if
#ifndef BUG_P4_LOAD_ON_LIST
		:: pi_cpu == NO_CPU && (posting
#else
		:: (posting
#endif
#ifndef BUG_P2_LAST_DEVICE
					|| sn
#endif
					) ->
			barrier();
			set_control(NOTIFICATION, at, false);
			loading = true
		:: else -> loading = false
		fi
	}
	atomic {
#ifndef BUG_P2_NO_ON
		if
		:: loading && pir -> on = true
		:: else
		fi;
#endif
		loading = false
	}
}

#ifdef BUG_P5_SN_ON_LIST
#define SUPPRESSES(preempted) (preempted)
#else
#define SUPPRESSES(preempted) (preempted && pi_cpu == NO_CPU)
#endif

inline sched_out(preempted, sleeps)
{
	atomic {
		barrier();
		if
		:: posting && SUPPRESSES(preempted) -> set_control(NOTIFICATION, at, true)
		:: else
		fi;
		running = false; asleep = sleeps
	}
}

inline sched_in()
{
	atomic {
		if
		:: usable[0] -> at = 0
		:: usable[1] -> at = 1
		fi;
		running = true; loading = true; cpu = at
	}
	pi_load()
}

inline may_be_preempted()
{
	if
	:: true
	:: sched_out(true, false); sched_in()
	fi
}

/* --- the vCPU's thread: what is requested --- */

inline take(vector)
{
	atomic {
		if
		:: pir & vector -> pir = pir & (255 - vector); irr = true
		:: else
		fi
	}
}

inline take_all()
{
#if VECTORS > 1
	take(2);
#endif
	atomic { take(1); folding = false }
}

inline fold()
{
	if
	:: on ->
#ifdef BUG_P5_PIR_BEFORE_ON
		folding = true;
		take_all();
		atomic { barrier(); on = false }
#else
		atomic { barrier(); on = false; folding = true }
		take_all()
#endif
	:: else
	fi
}

/* Does it go on? */
inline look(answer)
{
	if
	:: !halted -> answer = true
	:: else -> fold(); answer = irr; halted = !irr
	fi
}

/* --- the vCPU's thread: sleep --- */

inline interrupts_on()
{
	irqs_off = false; notified = false; kicked = false
}

/* Under the lock, with interrupts off: one step to everybody who is interested. */
inline pre_block()
{
	if
	:: posting ->
		atomic {
			!lock[at] ->
#if !defined(ONLY) || ONLY == 4
			P4 = !onlist[0] && !onlist[1];
			assert(P4);
#endif
			onlist[at] = true; pi_cpu = at;
			barrier();
			set_control(WAKEUP, at, false)
		}
	:: else
	fi
}

inline post_block(c)
{
	c = pi_cpu;
	if
#ifdef BUG_P4_UNPLUGGED
	:: !posting
#endif
	:: c != NO_CPU ->
		atomic {
			!lock[c] ->
			if
			:: pi_cpu == c -> leave_list(c, at)
			:: else
			fi
		}
	:: else
	fi;
#ifndef BUG_P5_OFFLINE_NDST
	pi_load();
#endif
	c = 0
}

inline block(answer, c)
{
	pre_block();
	may_be_preempted();
	do
	:: atomic { barrier(); waiting = true }
	   may_be_preempted();
	   /* The list before the requests: a device may come, post and go in between. */
#if !defined(BUG_P5_NOT_AGAIN) && !defined(BUG_P5_LIST_LAST)
	   answer = posting && pi_cpu == NO_CPU;
#endif
	   if
	   :: !answer -> look(answer)
	   :: else
	   fi;
#ifdef BUG_P5_LIST_LAST
	   answer = answer || (posting && pi_cpu == NO_CPU);
#endif
	   if
	   :: answer -> break
	   :: !answer && !waiting
	   :: !answer && waiting ->
		sched_out(false, true);
		if
		:: atomic { !waiting -> asleep = false }
		:: atomic { asleep = false; waiting = false; answer = true } /* a signal */
		fi;
		sched_in();
		if
		:: answer -> break
		:: else
		fi
	   fi
	od;
	atomic { waiting = false; answer = false }
	may_be_preempted();
	post_block(c)
}

/* --- the vCPU's thread: entry --- */

/* In the guest: until something makes it exit. Any exit may be a HLT. */
inline guest()
{
	inguest = true;
	do
	:: irr -> irr = false
	:: atomic { hardware && notified -> notified = false; folding = true; on = false }
	   take_all()
	:: (!hardware && notified) || kicked -> stays = false; break
	:: atomic { halted = true; stays = false; break }
	:: stays = false; break
#ifdef AT_ONCE
	:: stays = true; break /* an exit that is handled at once: ->mode stays, too */
	:: atomic { halted = true; stays = true; break } /* HLT as well, if an interrupt waits */
#endif
	od;
	inguest = false;
#ifdef AT_ONCE
	if
	:: halted && stays -> look(stays)
	:: else
	fi
#endif
}

inline enter()
{
	if
	:: !hardware -> fold()
	:: else
	fi;
	if
	:: req -> req = false; pi_load()
	:: else
	fi;
#ifdef BUG_P5_LOOK_BEFORE_MODE
	fold();
#endif
	atomic { irqs_off = true; set_mode(IN_GUEST) }
#ifndef BUG_P5_NO_BARRIER
	atomic { barrier() }
#endif
	stays = true;
	do
	:: !stays || req -> break
	:: else ->
#ifdef BUG_P5_LOOK_BEFORE_MODE
		guest()
#else
		if
		:: hardware -> fold(); guest()
		:: !hardware && on -> break
		:: !hardware && !on -> guest()
		fi
#endif
	od;
	set_mode(OUTSIDE);
	atomic { interrupts_on() }
}

active proctype vcpu_thread()
{
	bool answer;
	byte c;

	if
	:: hardware = true
#ifndef DEVICE
	:: hardware = false
#endif
	fi;
	sched_in();
	do
	:: may_be_preempted();
	   look(answer);
	   if
	   :: atomic { answer -> answer = false }
	      enter()
	   :: else -> block(answer, c)
	   fi
	:: sched_out(false, false); sched_in() /* to userspace and back */
	od
}

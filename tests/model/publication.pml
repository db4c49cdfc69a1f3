/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/model/publication.pml: the protocol by which all tables of a run become visible or none
 * (the head of src/table/table_journal.c), for the model checker spin. test_model.py runs it; it
 * tries all orders in which processes can take their steps, and a crash at each step.
 *
 * Processes  each step is one request to a store, as in the C source:
 *   Writer     a publisher: publish_in_lake() of table_publish.c; or a helper that only completes
 *              what is open: smi_journal_settle() of table_course.c
 *     bases      sm_stage_open(): each table is opened at its own time, and once
 *     begin      smi_journal_list()
 *     read       read_newest()
 *     weigh      smi_course_weigh(), then settle: smi_journal_settle()
 *     look       smi_course_look()
 *     put        smi_journal_put() by put_entry(); compare: its compare_object()
 *     LOOK to END  the states of smi_course_step(), with look_at_all(), settle_verdict(),
 *                confirm_newest(), find_outcome(), commit_table(), reverse_table(),
 *                end_publication() and delete_old_entries()
 *   Foreign    another engine: it knows no journal; adds rows to a table, or removes what is there
 *   Reader     smi_pins_open() of table_pin.c: find_pin(), the newest version, visible_version()
 *              and walk_back()
 *   init       waits until all others ended or crashed, lets a helper run to its end (the next run
 *              into the lake), and looks at what came of it
 * Logs       A version of a table is a commit of a publication, the undo of one, or another
 *            engine's commit. walk() is sm_delta_attempt_look() and sm_delta_attempt_put() of
 *            delta_attempt.c in one step: versions never change, so a reading that takes longer
 *            finds the same, and a put succeeds only where all versions before it were read.
 * Listing    is one step: a page of S3 is one, and so is a folder of a journal, which has a handful
 *            of names.
 * Checked    at each step: no commit twice in a log, nor two tries of one publisher; numbers never
 *            fall in a log; a verdict stays as long as it is needed; each publisher is told what
 *            came of it.
 *            For each reader: it sees a publication in all tables or in none, and all of those
 *            that were told to be published before it began.
 *            At the end: the journal is at rest, and each publication is in all tables or in none.
 *            Exempt is only what a foreign commit made impossible to take back (is_stuck).
 * Not here   the log of a table being cleaned up; failing requests that are not crashes, but for a
 *            put whose answer is lost, which is a step between put and compare.
 *
 * Sizes      PUBLISHERS, HELPERS, FOREIGNS, READERS, CRASHES, TABLES, TRIES (entries that each
 *            publisher may put)
 * Conflicts  READS: each publication has read its last table. LOADS: each is a load of the first
 *            table. Neither: they do not conflict.
 * Mutants    MUTANT=n breaks the protocol in one place; spin must find it (mutants in
 *            test_model.py). */

#ifndef TABLES
#define TABLES 2
#endif
#ifndef PUBLISHERS
#define PUBLISHERS 2
#endif
#ifndef HELPERS
#define HELPERS 1
#endif
#ifndef FOREIGNS
#define FOREIGNS 0
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef TRIES
#define TRIES 2
#endif
#ifndef MUTANT
#define MUTANT 0
#endif
#ifdef READS
#define HAS_READ(t) ((t) == TABLES - 1)
#else
#define HAS_READ(t) false
#endif
#ifdef LOADS
#define IS_LOAD(t) ((t) == 0)
#else
#define IS_LOAD(t) false
#endif

#define IDS      (PUBLISHERS * TRIES) /* publications, from 1: each entry that is put has another */
#define VERSIONS (2 * IDS + FOREIGNS)
#define UNDO     32 /* UNDO + id: the undo of publication id */
#define ADDED    64 /* another engine's commits */
#define REMOVED  65

#define PUBLISHER_OF(id) (((id) - 1) / TRIES)
#define VERSION(t, v)    versions[(t) * VERSIONS + (v)]
#define BASE(id, t)      bases[PUBLISHER_OF(id) * TABLES + (t)]
/* May a publication not follow version x of table t? Its undo: not REMOVED. */
#define CONFLICTS(x, t) (HAS_READ(t) || (IS_LOAD(t) && (x) < ADDED))

#define NONE 255

/* The journal: by number. 0: no such object. */
byte entries[IDS + 1];  /* the publication */
byte verdicts[IDS + 1]; /* COMMIT or ABANDON */
bool dones[IDS + 1];
#define COMMIT  1
#define ABANDON 2

/* The tables' logs. */
byte versions[TABLES * VERSIONS];
byte lengths[TABLES];
byte bases[PUBLISHERS * TABLES];

/* What is known only here. */
byte numbers[IDS + 1]; /* of each publication */
bool is_stuck[IDS + 1];
byte told[PUBLISHERS]; /* what each publisher was told */
byte mine_of[PUBLISHERS]; /* the try of which it was told */
byte crashes = CRASHES;
#define RUNNING   0
#define PUBLISHED 1
#define LOST      2

/* States of an attempt, and outcomes of a course. */
#define FREE     1
#define IS_DONE  2
#define CONFLICT 3
#define OUT_NONE      0
#define OUT_COMMITTED 1
#define OUT_REVERSED  2

/* A process may stop before each of its steps, for ever. */
#define STEP if :: true :: crashes > 0 -> crashes--; goto dead fi

/* The state of publication id at table t, and the version it is about. Local: v_, x_, state_. */
inline walk(id, t) {
    v_ = BASE(id, t);
    state_ = FREE;
    do
    :: v_ >= lengths[t] -> break
    :: v_ < lengths[t] && VERSION(t, v_) == id -> state_ = IS_DONE; break
    :: v_ < lengths[t] && VERSION(t, v_) != id && CONFLICTS(VERSION(t, v_), t) ->
        state_ = CONFLICT; break
    :: else -> v_++
    od
}

/* May the commit be made? Neither it nor another try of its publisher is there (or was taken back),
 * and no later number. */
inline check_put(id, t) {
    v_ = 0;
    do
    :: v_ >= lengths[t] -> break
    :: else ->
        x_ = VERSION(t, v_);
        assert(x_ != id);
        if
        :: x_ < UNDO ->
            assert(numbers[x_] < numbers[id]);
            if
            :: PUBLISHER_OF(x_) == PUBLISHER_OF(id) -> state_ = NONE /* it must be undone below */
            :: else -> skip
            fi
        :: x_ > UNDO && x_ < ADDED ->
            assert(numbers[x_ - UNDO] < numbers[id]);
            if
            :: PUBLISHER_OF(x_ - UNDO) == PUBLISHER_OF(id) -> state_ = FREE
            :: else -> skip
            fi
        :: else -> skip
        fi;
        v_++
    od;
    assert(state_ == FREE)
}

inline append(t, x) {
    assert(lengths[t] < VERSIONS);
    VERSION(t, lengths[t]) = x;
    lengths[t]++
}

/* smi_journal_list(). The names below the newest are remembered, to be deleted at the end. */
inline list() {
    newest = IDS;
    do
    :: newest > 0 && entries[newest] == 0 -> newest--
    :: else -> break
    od;
    has_verdict = newest > 0 && verdicts[newest] != 0;
    is_done = newest > 0 && dones[newest];
    old = 0;
    v_ = 1;
    do
    :: v_ < newest ->
        if
        :: entries[v_] != 0 || verdicts[v_] != 0 || dones[v_] -> old = old | (1 << v_)
        :: else -> skip
        fi;
        v_++
    :: else -> break
    od;
    v_ = 0
}

/* Takes the commit back that id has made in table t. */
inline reverse(id, t, is_put) {
    walk(id, t);
    assert(state_ == IS_DONE);
    v_++;
    do
    :: v_ >= lengths[t] -> append(t, UNDO + id); break
    :: v_ < lengths[t] && VERSION(t, v_) == UNDO + id -> break
    :: v_ < lengths[t] && VERSION(t, v_) == REMOVED -> is_stuck[id] = true; break
    :: else -> v_++
    od;
    v_ = 0;
    state_ = 0
}

proctype Writer(byte me; bool publishes) {
    byte newest = 0;
    bool has_verdict = false, is_done = false;
    int old = 0;
    byte number = 0;   /* of the publication in hand */
    byte id = 0;       /* that publication */
    byte at = 0;
    byte conflict = NONE;
    bool is_commit = false, is_passed = false, is_own = false;
    byte outcome = OUT_NONE;
    byte now = 0; /* the number of publication id, in its course */
    byte tries = 0;
    byte v_ = 0, x_ = 0, state_ = 0;

    if
    :: publishes ->
        do
        :: at < TABLES -> atomic { STEP; bases[me * TABLES + at] = lengths[at]; at++ }
        :: else -> break
        od;
        at = 0
    :: else -> skip
    fi;

begin:
    is_own = false;
    id = 0;
    outcome = OUT_NONE;
    conflict = NONE;
    at = 0;
    is_passed = false;
    atomic { STEP; d_step { list() } };
    if
    :: !publishes -> goto settle
    :: else -> skip
    fi;
    if
    :: newest == 0 -> number = 1; goto look
    :: newest > 0 && is_done ->
        atomic { STEP; id = (dones[newest] -> 1 : 0) };
        number = newest + 1;
        if
        :: id == 0 -> goto begin
        :: else -> id = 0; goto look
        fi
    :: else ->
        atomic { STEP; id = entries[newest] };
        number = newest + 1;
        if
        :: id == 0 -> goto begin
        :: else -> skip
        fi;
        /* weigh: all publications have all tables */
        d_step {
            at = 0;
            do
            :: at < TABLES && CONFLICTS(id, at) -> conflict = at; break
            :: at < TABLES && !CONFLICTS(id, at) -> at++
            :: else -> break
            od;
            at = 0;
            id = 0
        };
        if
        :: conflict != NONE -> goto lost
        :: else -> goto settle
        fi
    fi;

settle:
#if MUTANT == 8
    if
    :: publishes -> goto look /* takes the next number while the one before is open */
    :: else -> skip
    fi;
#endif
    if
    :: newest > 0 && !is_done ->
        atomic { STEP; id = entries[newest] };
        if
        :: id == 0 -> atomic { STEP; d_step { list() } }; goto settle
        :: else -> skip
        fi;
        now = newest;
        conflict = NONE;
        at = 0;
        is_own = false;
        goto course_look
    :: else -> skip
    fi;
    id = 0;
    if
    :: !publishes -> goto out
    :: publishes && newest != number - 1 -> goto begin
    :: else -> skip
    fi;

look: /* a fresh publication of this publisher */
    if
    :: tries == TRIES -> goto lost
    :: else -> skip
    fi;
    id = me * TRIES + tries + 1;
    at = 0;
    do
    :: at < TABLES ->
        atomic { STEP; d_step { walk(id, at); v_ = 0 } };
        assert(state_ != IS_DONE);
        if
        :: state_ == CONFLICT -> conflict = at; break
        :: else -> at++
        fi
    :: else -> break
    od;
    state_ = 0;
    at = 0;
    if
    :: conflict != NONE -> goto lost
    :: else -> tries++
    fi;
    /* put */
    atomic {
        STEP;
        numbers[id] = number;
        if
        :: entries[number] == 0 -> entries[number] = id
        :: else -> x_ = 1
        fi
    };
    if
    :: x_ == 0 -> skip
    :: x_ == 0 -> x_ = 1 /* the answer is lost */
    :: else -> skip
    fi;
    if
    :: x_ == 1 ->
        atomic { STEP; x_ = entries[number] }; /* compare */
#if MUTANT == 4
        x_ = id; /* another's entry passes for its own */
#endif
        if
        :: x_ == id || x_ == 0 -> x_ = 0
        :: else -> x_ = 0; goto begin
        fi
    :: else -> skip
    fi;
    newest = number;
    has_verdict = false;
    is_done = false;
    is_own = true;
    now = number;
    goto course_decide;

    /* ---- the course of publication id ---- */
course_look:
    if
    :: has_verdict -> goto course_decide
    :: else -> skip
    fi;
    do
    :: at < TABLES ->
        atomic { STEP; d_step { walk(id, at); v_ = 0 } };
        if
        :: state_ == CONFLICT -> conflict = at; break
        :: else -> at++
        fi
    :: else -> break
    od;
    state_ = 0;
    at = 0;

course_decide:
#if MUTANT == 3
    is_commit = conflict == NONE;
    atomic { STEP; verdicts[now] = (is_commit -> COMMIT : ABANDON) }; /* another's is not obeyed */
#else
    if
    :: !has_verdict ->
        is_commit = conflict == NONE;
        atomic {
            STEP;
            if
            :: verdicts[now] == 0 -> verdicts[now] = (is_commit -> COMMIT : ABANDON)
            :: else -> has_verdict = true
            fi
        }
    :: else -> skip
    fi;
    if
    :: !has_verdict -> skip
    :: !has_verdict -> has_verdict = true /* the answer is lost: it is read */
    :: else -> skip
    fi;
    if
    :: has_verdict -> atomic { STEP; is_commit = verdicts[now] == COMMIT }
    :: else -> skip
    fi;
#endif
#if MUTANT != 1 /* 1: without CONFIRM */
    atomic { STEP; d_step { list() } };
    is_passed = newest != now;
    assert(is_passed || has_verdict);
#endif
    at = 0;
    conflict = NONE;
    if
    :: is_passed -> goto course_find
    :: !is_passed && !is_commit -> outcome = OUT_NONE; goto course_end
    :: else -> skip
    fi;
    /* COMMIT */
    do
    :: at < TABLES ->
        atomic {
            STEP;
            d_step {
                walk(id, at);
#if MUTANT == 2
                state_ = FREE; /* it puts without having looked whether it is there */
#endif
                if
                :: state_ == FREE -> check_put(id, at); append(at, id)
                :: else -> skip
                fi;
                v_ = 0
            }
        };
        if
        :: state_ == CONFLICT -> conflict = at; break
        :: else -> at++
        fi
    :: else -> break
    od;
    state_ = 0;
    if
    :: conflict == NONE -> outcome = OUT_COMMITTED; goto course_end
    :: else -> outcome = OUT_REVERSED
    fi;
    /* REVERSE */
#if MUTANT == 5
    at = 0; /* what is published stays */
#endif
    do
    :: at > 0 ->
        at--;
        atomic { STEP; d_step { reverse(id, at, true) } }
    :: else -> break
    od;

course_end:
    at = 0;
    atomic { STEP; dones[now] = true };
    is_done = true;
    /* the names that the last listing had, in its order, one by one */
    x_ = 1;
    do
    :: x_ < newest && (old & (1 << x_)) ->
        atomic { STEP; dones[x_] = false };
        atomic { STEP; entries[x_] = 0 };
        atomic { STEP; verdicts[x_] = 0 };
        x_++
    :: x_ < newest && !(old & (1 << x_)) -> x_++
    :: else -> break
    od;
#if MUTANT == 7
    atomic { STEP; entries[newest] = 0; verdicts[newest] = 0; dones[newest] = false };
#endif
    old = 0;
    goto course_over;

course_find: /* others have ended it: its tables show the outcome */
    do
    :: at < TABLES ->
        atomic { STEP; d_step { walk(id, at); v_ = 0 } };
        if
        :: state_ != IS_DONE -> conflict = at; break
        :: else -> at++
        fi
    :: else -> break
    od;
    assert(conflict == NONE || conflict == 0 || state_ == CONFLICT);
    outcome = (conflict == NONE -> OUT_COMMITTED : (conflict == 0 -> OUT_NONE : OUT_REVERSED));
    state_ = 0;
    at = 0;

course_over:
    x_ = 0;
    now = 0;
    if
    :: !is_own -> is_passed = false; outcome = OUT_NONE; conflict = NONE; goto settle
    :: is_own && is_passed && outcome == OUT_NONE -> goto begin
    :: is_own && outcome == OUT_COMMITTED ->
        atomic { told[me] = PUBLISHED; mine_of[me] = id };
        goto out
    :: else -> skip
    fi;
lost:
    if
    :: publishes -> told[me] = LOST
    :: else -> skip
    fi;
out:
dead:
    skip
}

/* Another engine: adds rows, or removes what is there. */
proctype Foreign() {
    byte t = 0;
    if
    :: t = 0
    :: t = TABLES - 1
    fi;
    if
    :: atomic { append(t, ADDED) }
    :: atomic { append(t, REMOVED) }
    :: skip
    fi
}

/* Which publications has table t with its first `end` versions? One bit each. */
inline collect(t, end) {
    v_ = 0;
    do
    :: v_ < end ->
        x_ = VERSION(t, v_);
        if
        :: x_ < UNDO -> seen[t] = seen[t] | (1 << x_)
        :: x_ > UNDO && x_ < ADDED -> seen[t] = seen[t] & ~(1 << (x_ - UNDO))
        :: else -> skip
        fi;
        v_++
    :: else -> break
    od;
    v_ = 0;
    x_ = 0
}

/* All or none, but for what could not be taken back. */
inline assert_whole() {
    x_ = 1;
    do
    :: x_ <= IDS ->
        v_ = 1;
        do
        :: v_ < TABLES ->
            assert(is_stuck[x_] || (seen[0] & (1 << x_)) == (seen[v_] & (1 << x_)));
            v_++
        :: else -> break
        od;
        x_++
    :: else -> break
    od;
    x_ = 0;
    v_ = 0
}

proctype Reader() {
    byte newest = 0, pin = 0, end = 0, last = 0, next = 0;
    bool has_verdict = false, is_done = false, is_first = true;
    int old = 0;
    bool must[PUBLISHERS];
    int seen[TABLES];
    byte t = 0, n = 0, v_ = 0, x_ = 0;

    if /* which table it opens first */
    :: t = 0
    :: t = TABLES - 1
    fi;
    atomic {
        d_step {
            list();
            pin = (newest > 0 && !is_done -> newest - 1 : newest);
#if MUTANT == 6
            pin = newest; /* also what is under way */
#endif
            x_ = 0;
            do
            :: x_ < PUBLISHERS -> must[x_] = told[x_] == PUBLISHED; x_++
            :: else -> break
            od;
            x_ = 0;
            old = 0
        }
    };
    do
    :: n < TABLES ->
        atomic { end = lengths[t] }; /* the newest version */
again:
        skip;
#if MUTANT != 9 /* 9: without a second listing */
        atomic { d_step { list(); old = 0 } };
#endif
        last = 0;
        if
        :: newest <= pin -> goto seen_it
        :: newest == pin + 1 && next == 0 -> atomic { next = entries[pin + 1] }
        :: else -> skip
        fi;
        if
        :: newest == pin + 1 && next == 0 -> goto again
        :: newest == pin + 1 && next != 0 -> last = BASE(next, t)
        :: else -> skip
        fi;
        d_step { /* walk_back() */
            v_ = end;
            do
            :: v_ > last ->
                x_ = VERSION(t, v_ - 1);
                if
                :: x_ >= ADDED -> skip
                :: x_ < ADDED && numbers[x_ % UNDO] > pin -> end = v_ - 1
                :: else -> break
                fi;
                v_--
            :: else -> break
            od;
            v_ = 0;
            x_ = 0
        };
seen_it:
        skip;
        d_step { collect(t, end); end = 0; last = 0; newest = 0 };
        n++;
        t = (t + 1) % TABLES
    :: else -> break
    od;
    skip;
    d_step {
        assert_whole();
        x_ = 0;
        do
        :: x_ < PUBLISHERS ->
            assert(!must[x_] || (seen[0] & (1 << mine_of[x_])));
            x_++
        :: else -> break
        od
    }
}

/* After all: what is in the tables is what the publishers were told. */
inline assert_told() {
    x_ = 0;
    do
    :: x_ < PUBLISHERS ->
        n = 0; /* how many tries of it are in the first table */
        v_ = 0;
        do
        :: v_ < TRIES ->
            if
            :: is_stuck[x_ * TRIES + v_ + 1] -> n = NONE; break
            :: (seen[0] & (1 << (x_ * TRIES + v_ + 1))) -> n++; v_++
            :: else -> v_++
            fi
        :: else -> break
        od;
        if
        :: n == NONE -> skip
        :: n != NONE && told[x_] == PUBLISHED ->
            assert(n == 1 && (seen[0] & (1 << mine_of[x_])))
        :: n != NONE && told[x_] == LOST -> assert(n == 0)
        :: else -> assert(n <= 1)
        fi;
        x_++
    :: else -> break
    od
}

init {
    byte newest = 0, n = 0, v_ = 0, x_ = 0;
    bool has_verdict = false, is_done = false;
    int old = 0;
    int seen[TABLES];

    atomic {
        n = 0;
        do
        :: n < PUBLISHERS -> run Writer(n, true); n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < HELPERS -> run Writer(PUBLISHERS, false); n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < FOREIGNS -> run Foreign(); n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < READERS -> run Reader(); n++
        :: else -> break
        od;
        n = 0
    };
    atomic { _nr_pr == 1 -> crashes = 0; run Writer(PUBLISHERS, false) };
    atomic {
        _nr_pr == 1 ->
        d_step {
            list();
            assert(newest == 0 || is_done);
            n = 0;
            do
            :: n < TABLES -> collect(n, lengths[n]); n++
            :: else -> break
            od;
            assert_whole();
            assert_told()
        }
    }
}

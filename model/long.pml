/*
 * A response of several segments, and the rules by which a server that remembers nothing sends it: docs/model.md.
 *
 *   spin -a -DCLIENT=KEEPS long.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m100000
 *
 * There is one process, the client and its network. The server is `decide`, a function of one packet: because it has no
 * state, the order in which packets reach it cannot be told from the order of its answers. So a packet is answered when
 * it is sent, twice if the network doubles it, and the answers wait in a bag, from which the client is handed any.
 *
 * A request has three parts, which have a sequence number each: its method, the rest, and its last byte. A segment of a
 * response counts as one sequence number. With a client that closes, the last one has the FIN.
 */

#define CLOSES 0	/* asks once; sends its FIN when it has the response */
#define HALF 1		/* asks once, and sends its FIN at once */
#define KEEPS 2		/* asks again on the same connection when it has the response */
#define PIPELINES 3	/* asks again without waiting for that */

#ifndef CLIENT
#define CLIENT KEEPS
#endif
#ifndef SEGMENTS
#define SEGMENTS 2	/* of each response */
#endif
#ifndef WINDOW
#define WINDOW 1	/* segments in flight */
#endif
#ifndef LOSSES
#define LOSSES 2	/* packets that the network loses, either way */
#endif
#ifndef COPIES
#define COPIES 1	/* packets that it delivers twice */
#endif
#ifndef EARLY
#define EARLY 1		/* timeouts with something still under way */
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 1	/* that may bring the client nothing, in a row, where nothing is lost */
#endif
#ifndef REFUSALS
#define REFUSALS 1	/* ACKs of what opens a window too early: a client sends few (tcp_invalid_ratelimit) */
#endif
#ifndef FRUITLESS
#define FRUITLESS (5 * SEGMENTS + 4)	/* packets of the server that may bring the client nothing, in a row */
#endif

#define IS_OPEN (CLIENT == KEEPS || CLIENT == PIPELINES)
#if CLIENT == KEEPS || CLIENT == PIPELINES
#define REQUESTS 2
#else
#define REQUESTS 1
#endif
#define PARTS (3 * REQUESTS)		/* of all requests; the number of the client's FIN */
#define TOTAL (SEGMENTS * REQUESTS)	/* of all responses */
#define FAR 15				/* the end of a window that has room for everything */
#define UNKNOWN 14			/* where the request ends, if that is not certain */

#define request_of(part) ((part) / 3)
#define request_end(number) (3 * (number) + 3)
#define response_end(number) (SEGMENTS * ((number) + 1))
#define bit(segment) (1 << (segment))

/* Timestamps of the server: that of the SYN+ACK; for each response one of a check before each segment, and of each
   segment, new and again; and one of the end of a response, which proves to the server what the next request begins
   behind. They grow in this order. */
#define HANDSHAKE 0
#define stamp_of_check(segment) (1 + 3 * ((segment) / SEGMENTS * (SEGMENTS + 1) + (segment) % SEGMENTS))
#define stamp_of(segment, again) (stamp_of_check(segment) + 1 + (again))
#define stamp_of_end(number) (1 + 3 * ((number) * (SEGMENTS + 1) + SEGMENTS))
#define response_of(stamp) (((stamp) - 1) / (3 * (SEGMENTS + 1)))
#define segment_of(stamp) (((stamp) - 1) / 3 % (SEGMENTS + 1))	/* SEGMENTS: the end */
#define is_check(stamp) (((stamp) - 1) % 3 == 0)
#define is_again(stamp) (((stamp) - 1) % 3 == 2)

/* What a packet to the client says: in one number, by which the bag is sorted. */
#define NO_DATA 15
#define OLD_BYTE 14	/* which the client has acknowledged */
#define CHECK 12		/* a byte that the client has acknowledged, the one before this segment */
#define OPENING 13	/* none, but behind the end of a response: with its stamp or a later one it is taken */
#define packet(data, seq, ack, window_end, stamp) \
	((data) | (seq) << 4 | (ack) << 8 | (window_end) << 12 | (stamp) << 16)
#define data_in(packet) ((packet) & 15)
#define seq_in(packet) ((packet) >> 4 & 15)
#define ack_in(packet) ((packet) >> 8 & 15)
#define window_end_in(packet) ((packet) >> 12 & 15)
#define stamp_in(packet) ((packet) >> 16)

#define ROOM 20
int bag[ROOM];
byte in_bag;

/* The network may still do this. */
byte losses = LOSSES;
byte copies = COPIES;
byte early = EARLY;
byte refusals = REFUSALS;

/* The client: what it has sent and what of it is acknowledged, up to where it may send and which segment told so, the
   next segment that it expects, those behind a gap, whether an ACK is put off, and the timestamp that it echoes. */
byte sent, acked, window_end = FAR, window_seq, next, delayed, recent;
int beyond;

/* For the properties: answers of the server since something came of one, and timeouts; the segments that it has sent;
   and whether there was a reason to send one again. */
byte fruitless, timeouts;
int ever;
bool reason;

#define is_done (next == TOTAL && acked == sent && sent == PARTS + !IS_OPEN)
#define last_acked (next - delayed)

/* The packet that the client sends, if any: parts of its requests from one to another, and whether it reports that
   something came twice (1), or a check (2). So many of it reach the server. */
byte from, to, dsack, arriving;

/* What the server makes of it, and answers: segments in `out`, or an acknowledgement alone. */
byte ack, ack_window_end, again, only_ack, old_byte, check, stamp, number, end, is_timeout;
int out;

/* Scratch. */
byte i, segment, top, count;
int p;

/* Puts a packet where it belongs in the bag. */
inline put() {
	assert(in_bag < ROOM);
	i = in_bag;
	do
	:: i > 0 && bag[i - 1] > p -> bag[i] = bag[i - 1]; i--
	:: else -> break
	od;
	bag[i] = p;
	in_bag++;
	i = 0
}

/* The server sends `p`, and the network does what it likes with it. */
inline send() {
	d_step { fruitless++; assert(fruitless <= FRUITLESS) };	/* no storm */
	if
	:: d_step { true -> put() }
	:: d_step { losses > 0 -> losses--; timeouts = 0; reason = 1; printf("         lost on its way\n") }
	:: d_step { copies > 0 -> copies--; fruitless = 0; put(); put(); printf("         doubled on its way\n") }
	fi
}

/* The server sends `p`, which opens a window. A second one would change nothing. */
inline open_window() {
	d_step {
		fruitless++;
		assert(fruitless <= FRUITLESS);	/* no storm */
		do
		:: i < in_bag && bag[i] != p -> i++
		:: else -> break
		od;
		count = (i < in_bag);
		i = 0
	};
	if
	:: d_step { count -> count = 0 }
	:: d_step { !count -> put() }
	:: d_step { !count && losses > 0 -> losses--; timeouts = 0; reason = 1; printf("         lost on its way\n") }
	fi
}

/* What opens a window says nothing to a client that has heard so, or has got something since. */
#define opened(p) (data_in(p) == OPENING && (stamp_in(p) < recent || stamp_in(p) == recent && window_end == FAR))
inline forget_opened() {
	do
	:: i < in_bag && opened(bag[i]) ->
		in_bag--;
		segment = i;
		do
		:: segment < in_bag -> bag[segment] = bag[segment + 1]; segment++
		:: else -> break
		od;
		bag[in_bag] = 0
	:: i < in_bag && !opened(bag[i]) -> i++
	:: else -> break
	od;
	i = 0;
	segment = 0
}

#define has_payload (from < to && from < PARTS)
#define has_fin (from < to && to > PARTS)
#define in_request(part) ((part) % 3)
#define first_of(number) (SEGMENTS * (number))

/* The segments from one to another, without those that the client has. */
inline draw(low, high) {
	segment = low;
	do
	:: segment < (high) && segment < response_end(number) -> out = out | (bit(segment) & ~beyond); segment++
	:: else -> break
	od;
	segment = 0
}

inline acknowledge(up_to, with) {
	only_ack = 1; ack = up_to; ack_window_end = FAR; stamp = with
}

/* The first window of a response. */
inline begin(response) {
	number = response;
	end = request_end(number);
	draw(first_of(number), first_of(number) + WINDOW);
	if
	:: IS_OPEN ->
#ifdef WITHOUT_METHOD_ALONE
		ack = end - 1;
#else
		ack = 3 * number + 1;
#endif
		ack_window_end = end;
		old_byte = (WINDOW >= SEGMENTS)
	:: else -> ack = 3 * number; ack_window_end = FAR
	fi;
#ifdef WITHOUT_HOLDING_BACK
	ack = to
#endif
}

/* Whether the client has the end of the last response, and its next request begins at `part`. */
#define is_proven(part) \
	(recent > 0 && segment_of(recent) == SEGMENTS && (part) == request_end(response_of(recent)) \
	&& next == response_end(response_of(recent)))

/* The server: what it answers to the packet `from`, `to`, `dsack`, with what a client says in every packet: `next`,
   which it acknowledges, `beyond`, its SACK blocks, and `recent`, the timestamp that it echoes. Nothing else is
   read. */
inline decide() {
	end = UNKNOWN;
	if
	:: recent > 0 && segment_of(recent) < SEGMENTS ->
		/* In the middle of a response: src/tcp/transfer.rs. */
		number = response_of(recent);
		p = first_of(number) + segment_of(recent);	/* acknowledged before */
		if
		:: IS_OPEN ->
			is_timeout = has_payload && in_request(from) != 0;
			if
			:: is_timeout -> end = request_end(request_of(from))
			:: !is_timeout && (next < response_end(number) || from == to) -> end = from
			:: else -> skip
			fi
		:: else -> is_timeout = has_payload || has_fin
		fi;
		if
		:: next < p || next > response_end(number) -> skip	/* another response */
		:: next == p && !is_check(recent) -> skip	/* nothing new */
		:: number > 0 && end != request_end(number) -> skip	/* the residue does not fit */
		:: else ->
			if
			:: next == response_end(number) ->
#ifndef WITHOUT_SETTLED
				if
				:: IS_OPEN && end != UNKNOWN ->
#ifdef WITHOUT_PROOF_WHEN_SETTLED
					acknowledge(end, recent)
#else
					acknowledge(end, stamp_of_end(number))
#endif
				:: IS_OPEN && end == UNKNOWN -> skip	/* it is not known where the request ends */
				:: !IS_OPEN -> acknowledge(to, recent)
				fi;
#endif
				skip
#ifdef WITHOUT_DUPLICATES
			:: else -> in_the_middle()
#else
			:: next < response_end(number) && dsack == 1 -> skip
			:: next < response_end(number) && dsack != 1 -> in_the_middle()
#endif
			fi
		fi
	:: else ->
		/* The SYN+ACK, or the end of a response: src/tcp/request.rs. */
		if
		:: from == to ->
#ifndef WITHOUT_SETTLED
			if
			:: is_proven(from) -> acknowledge(from, recent)
			:: else -> skip
			fi;
#endif
			skip
		:: has_payload && in_request(from) == 0 ->
			if
			:: recent == HANDSHAKE && from == 0 && next == 0 -> begin(0)
			:: is_proven(from) -> begin(response_of(recent) + 1)
			:: else -> skip
			fi
		:: has_payload && in_request(from) != 0 ->
			end = request_end(request_of(from));
			if
			:: is_proven(end) && to == end -> acknowledge(end, recent)
#ifndef WITHOUT_REQUEST_BEHIND
			:: is_proven(end) && to > end -> begin(response_of(recent) + 1)
#endif
#ifndef WITHOUT_TARGET
			:: IS_OPEN && beyond != 0 && in_request(from) == 1 && recent == HANDSHAKE && from == 1 && next == 0 ->
				begin(0)
			:: IS_OPEN && beyond != 0 && in_request(from) == 1 && is_proven(from - 1) ->
				begin(response_of(recent) + 1)
#endif
			:: else -> skip
			fi
		:: else -> skip
		fi
	fi;
	p = 0
}

/* What is missing up to `top`, and a window at least. */
inline draw_from_here() {
	if
	:: top < next + WINDOW -> top = next + WINDOW
	:: else -> skip
	fi;
	draw(next, top)
}

/* An ACK or a timeout of a client that has a part of the response. `p` is what it had acknowledged before. */
inline in_the_middle() {
	top = 0; count = 0; segment = next;
	do
	:: segment < TOTAL ->
		if
		:: beyond & bit(segment) -> top = segment + 1; count++
		:: else -> skip
		fi;
		segment++
	:: else -> break
	od;
	segment = 0;
	if
	:: next == p ->
		/* It has a check, which tells that it was here a round trip ago. */
		again = 1;
		if
		:: !is_timeout && beyond != 0 && !dsack -> skip
		:: else -> draw_from_here()
		fi
	:: next > p && is_timeout && (beyond != 0 || next < first_of(number) + WINDOW) ->
		again = 1;
		draw_from_here()
	:: next > p && is_timeout && beyond == 0 && next >= first_of(number) + WINDOW ->
		/* All may be on its way. A segment that may not have had an ACK of its own yet draws what that draws. */
		check = 1;
		if
		:: next - p == 1 && !is_again(recent) -> draw(p + WINDOW, next + WINDOW)
		:: else -> skip
		fi
	:: next > p && dsack == 2 && (beyond != 0 || next - p > 1 || is_again(recent)) -> skip
	:: next > p && !is_timeout && beyond == 0 && !is_again(recent) ->
		if
		:: p + WINDOW > next -> draw(p + WINDOW, next + WINDOW)
		:: else -> draw(next, next + WINDOW)
		fi
	:: next > p && !is_timeout && !dsack && beyond == 0 && is_again(recent) -> draw(next, next + WINDOW)
	:: else ->
		/* A gap: everything that was sent has arrived, or enough behind it. */
		again = 1;
		if
		:: !is_again(recent) && (top >= next + WINDOW || top == p + WINDOW || top == response_end(number)) ->
			draw(next, top)
		:: (is_again(recent) && next - p > 1) || (!is_again(recent) && count == (WINDOW / 2 > 3 -> 3 : WINDOW / 2)) ->
			segment = next;
			do
			:: beyond & bit(segment) -> break
			:: else -> out = out | bit(segment); segment++
			od;
			segment = 0
		:: else -> skip
		fi
	fi;
	top = 0; count = 0;
	if
	:: IS_OPEN -> ack = end - 1; ack_window_end = end
	:: !IS_OPEN && from == to -> ack = to - 1; ack_window_end = FAR
	:: !IS_OPEN && from < to && from >= PARTS -> ack = to - 1; ack_window_end = FAR
	:: else ->
		/* The last byte of the request, or more than that. */
		ack = (in_request(from) == 2 -> from : from + 1);
		ack_window_end = FAR
	fi;
	old_byte = IS_OPEN && next < response_end(number) - 1;
#ifdef WITHOUT_HOLDING_BACK
	ack = (IS_OPEN && end != UNKNOWN -> end : to)
#endif
}

/* Sends what the server has decided on. */
inline answer() {
	if
	:: only_ack ->
		printf("server:  acknowledges %d, stamp %d\n", ack, stamp);
		p = packet(NO_DATA, next, ack, ack_window_end, stamp);
		send()
	:: else ->
		if
		:: check ->
			printf("server:  a check before segment %d, stamp %d\n", next, stamp_of_check(next));
			p = packet(CHECK, next, ack, ack_window_end, stamp_of_check(next));
			send()
		:: else -> skip
		fi;
		segment = 0;
		do
		:: segment == TOTAL -> break
		:: segment < TOTAL && (out & bit(segment)) ->
			if
#ifndef WITHOUT_OLD_BYTE
			:: old_byte && segment == response_end(number) - 1 ->
				printf("server:  an old byte\n");
				p = packet(OLD_BYTE, 0, 0, 0, 0);
				send()
			:: !(old_byte && segment == response_end(number) - 1) -> skip
#else
			:: true
#endif
			fi;
			d_step {
#ifndef REPEATS_UNCHECKED
				/* What the network doubles draws nothing. */
				assert(reason || !(ever & bit(segment)));
#endif
				ever = (reason -> 0 : ever | bit(segment));
				if
				:: IS_OPEN && segment == response_end(number) - 1 ->
					stamp = (end == request_end(number) -> stamp_of_end(number) : stamp_of(segment, again))
				:: else -> stamp = stamp_of(segment, again)
				fi;
#ifdef WITHOUT_WINDOW
				p = packet(segment, segment, ack, FAR, stamp);
#else
				p = packet(segment, segment, ack, ack_window_end, stamp);
#endif
				printf("server:  segment %d, acknowledges %d, window to %d, stamp %d\n", segment, ack,
					window_end_in(p), stamp)
			};
			send();
			if
#ifndef WITHOUT_OPENING
			:: IS_OPEN && segment == response_end(number) - 1 && stamp == stamp_of_end(number) ->
				printf("server:  opens the window, stamp %d\n", stamp);
				p = packet(OPENING, segment + 2, ack, FAR, stamp);
				open_window()
#endif
			:: else -> skip
			fi;
			segment++
		:: else -> segment++
		od;
		segment = 0
	fi;
	d_step {
		ack = 0; ack_window_end = 0; again = 0; only_ack = 0; old_byte = 0; check = 0; stamp = 0; number = 0; end = 0;
		is_timeout = 0; out = 0; p = 0
	}
}

/* The client sends parts of its requests, or an ACK alone; the network does what it likes with that; and the server
   answers each copy of it. */
inline speak() {
	delayed = 0;
	printf("client:  parts %d to %d, acknowledges %d, has beyond that %d, duplicate %d, echoes %d\n", from, to, next,
		beyond, dsack, recent);
	if
	:: arriving = 1
	:: d_step { losses > 0 -> losses--; timeouts = 0; reason = 1; printf("         lost on its way\n") }
	:: d_step { copies > 0 -> copies--; fruitless = 0; reason = 1; arriving = 2; printf("         doubled on its way\n") }
	fi;
	do
	:: arriving > 0 -> arriving--; d_step { decide() }; answer()
	:: else -> break
	od;
	from = 0; to = 0; dsack = 0
}

/* An ACK stands behind all that the client has sent, or where its window ends, if that has shrunk. */
inline speak_ack() {
	from = (sent > window_end -> (window_end > acked -> window_end : acked) : sent);
	to = from;
	speak()
}

inline progress() {
	fruitless = 0; timeouts = 0
}

/* The client takes the packet `p`. `count` becomes 1 if an ACK goes at once, and 2 if it may be put off. */
inline receive() {
	segment = data_in(p);
	if
	:: segment == CHECK && (seq_in(p) < last_acked || stamp_in(p) < recent) -> dsack = 2; count = 1
	:: segment == OLD_BYTE || (segment < CHECK && segment + 1 < last_acked) -> dsack = 1; count = 1
	:: segment == OPENING && stamp_in(p) != recent ->
		/* Older than anything before the end of its response, which counts as nothing else does: RFC 7323, section 5.3.
		   Behind what the client has got since, it says nothing new. */
#ifdef WITHOUT_GATE
		window_seq = seq_in(p);
		window_end = window_end_in(p)
#else
		if
		:: refusals > 0 -> refusals--; reason = 1; count = 1
		:: else -> skip
		fi
#endif
	:: (segment == NO_DATA || segment < CHECK && segment + 1 >= last_acked) && stamp_in(p) < recent ->
		/* RFC 7323, section 5.3 */
		if
		:: segment < CHECK -> dsack = (segment < next); count = 1
		:: else -> skip
		fi
	:: else ->
		/* RFC 7323, section 4.3 */
		if
		:: seq_in(p) <= last_acked && stamp_in(p) > recent -> recent = stamp_in(p); progress()
		:: else -> skip
		fi;
		if
		:: ack_in(p) > acked || seq_in(p) > window_seq || (seq_in(p) == window_seq && window_end_in(p) > window_end) ->
			if
			:: segment == OPENING && window_end < FAR -> progress()
			:: else -> skip
			fi;
			window_seq = seq_in(p);
			window_end = window_end_in(p)
		:: else -> skip
		fi;
		assert(ack_in(p) <= sent);
		if
		:: ack_in(p) > acked -> acked = ack_in(p); progress()
		:: else -> skip
		fi;
		if
		:: segment == NO_DATA || segment == OPENING -> skip
		:: segment == CHECK -> dsack = 2; count = 1
		:: segment < next -> dsack = 1; count = 1
		:: segment < CHECK && segment == next ->
			progress();
			count = (beyond == 0 && !delayed -> 2 : 1);
			next++;
			do
			:: beyond & bit(next) -> beyond = beyond & ~bit(next); next++
			:: else -> break
			od
		:: segment < CHECK && segment > next ->
			if
			:: beyond & bit(segment) -> dsack = 1
			:: else -> beyond = beyond | bit(segment); reason = 1; progress()
			fi;
			count = 1
		fi;
#ifndef ACKNOWLEDGEMENT_UNCHECKED
		/* The whole request is acknowledged only where the client has the whole response. */
		i = (CLIENT == HALF -> PARTS + 1 : request_end(0));
		assert(acked < i || next >= response_end(0));
		assert(acked < PARTS + !IS_OPEN || next == TOTAL);
		i = 0;
#endif
		skip
	fi;
	segment = 0;
	p = 0
}

active proctype client() {
	do
	/* A request, or the FIN. */
	:: atomic {
		sent < PARTS && (CLIENT == PIPELINES && sent + 3 <= window_end || next == response_end(0) * (sent / 3)
			&& sent + 3 <= window_end) ->
			from = sent; to = from + 3; sent = to; fruitless = 0;
			speak()
	}
	:: atomic {
		!IS_OPEN && sent == PARTS && (CLIENT == HALF || next == TOTAL) ->
			/* In the middle of a response, a FIN is taken for a timeout. */
			from = sent; to = from + 1; sent = to; fruitless = 0; reason = 1;
			speak()
	}
	/* Any of the packets arrives. */
	:: atomic {
		in_bag > 0 ->
			do
			:: i + 1 < in_bag -> i++
			:: break
			od;
			skip;
			d_step {
				p = bag[i];
				in_bag--;
				do
				:: i < in_bag -> bag[i] = bag[i + 1]; i++
				:: else -> break
				od;
				bag[in_bag] = 0;
				i = 0;
				printf("arrives: data %d, acknowledges %d, stamp %d\n", data_in(p), ack_in(p), stamp_in(p));
				receive();
				forget_opened()
			};
			if
			:: count == 0
			:: count > 0 -> count = 0; speak_ack()
			:: count == 2 -> count = 0; delayed = 1
			fi
	}
	:: atomic { delayed -> speak_ack() }
	/* The timer: what is not acknowledged, alone or with what was sent behind it. */
	:: atomic {
		acked < sent && (in_bag == 0 && !delayed || early > 0) ->
			d_step {
				if
				:: in_bag == 0 && !delayed -> timeouts++; assert(timeouts <= TIMEOUTS)
				:: else -> early--
				fi;
				fruitless = 0; reason = 1;
				printf("timeout\n");
				from = acked;
				to = (acked < PARTS -> request_end(request_of(acked)) : sent)
			};
			if
			:: true
			:: to < sent && sent <= window_end -> to = sent
			fi;
			speak()
	}
	:: is_done && in_bag == 0 && !delayed -> break
	od
}

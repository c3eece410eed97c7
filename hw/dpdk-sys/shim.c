#include "shim.h"

#include <stddef.h>

#include <rte_prefetch.h>

// The fields that lib.rs has written down.
_Static_assert(offsetof(struct rte_mbuf, buf_addr) == 0, "rte_mbuf: buf_addr has moved");
_Static_assert(offsetof(struct rte_mbuf, data_off) == 16, "rte_mbuf: data_off has moved");
_Static_assert(offsetof(struct rte_mbuf, refcnt) == 18, "rte_mbuf: refcnt has moved");
_Static_assert(offsetof(struct rte_mbuf, nb_segs) == 20, "rte_mbuf: nb_segs has moved");
_Static_assert(offsetof(struct rte_mbuf, ol_flags) == 24, "rte_mbuf: ol_flags has moved");
_Static_assert(offsetof(struct rte_mbuf, packet_type) == 32, "rte_mbuf: packet_type has moved");
_Static_assert(offsetof(struct rte_mbuf, pkt_len) == 36, "rte_mbuf: pkt_len has moved");
_Static_assert(offsetof(struct rte_mbuf, data_len) == 40, "rte_mbuf: data_len has moved");
_Static_assert(offsetof(struct rte_mbuf, buf_len) == 54, "rte_mbuf: buf_len has moved");
_Static_assert(offsetof(struct rte_mbuf, pool) == 56, "rte_mbuf: pool has moved");
_Static_assert(sizeof(struct rte_mbuf) == 128, "rte_mbuf: it is of another size");

int dpdk_errno(void) { return rte_errno; }

unsigned int dpdk_lcore_id(void) { return rte_lcore_id(); }

uint16_t dpdk_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count) {
	uint16_t received = rte_eth_rx_burst(port, queue, frames, count);
	// Headers with timestamps end in the second cache line, most requests in the third.
	for (uint16_t at = 0; at < received; at++) {
		const char *data = rte_pktmbuf_mtod(frames[at], const char *);
		rte_prefetch0(data);
		rte_prefetch0(data + RTE_CACHE_LINE_SIZE);
		rte_prefetch0(data + 2 * RTE_CACHE_LINE_SIZE);
	}
	return received;
}

uint16_t dpdk_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count) {
	return rte_eth_tx_burst(port, queue, frames, count);
}

uint16_t dpdk_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count) {
	return rte_eth_tx_prepare(port, queue, frames, count);
}

int dpdk_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **frames, unsigned int count) {
	return rte_pktmbuf_alloc_bulk(pool, frames, count);
}

void dpdk_set_tx_lens(struct rte_mbuf *frame, uint16_t link, uint16_t network, uint16_t transport, uint16_t segment) {
	frame->tx_offload = rte_mbuf_tx_offload(link, network, transport, segment, 0, 0, 0);
}

void dpdk_tx_lens(const struct rte_mbuf *frame, uint16_t lens[4]) {
	lens[0] = frame->l2_len;
	lens[1] = frame->l3_len;
	lens[2] = frame->l4_len;
	lens[3] = frame->tso_segsz;
}

int dpdk_link(uint16_t port, uint32_t *speed) {
	struct rte_eth_link link = {0};
	int failed = rte_eth_link_get_nowait(port, &link);
	*speed = link.link_speed;
	return failed < 0 ? failed : link.link_status;
}

unsigned int dpdk_ring_enqueue(struct rte_ring *ring, void *const *objects, unsigned int count) {
	return rte_ring_enqueue_burst(ring, objects, count, NULL);
}

unsigned int dpdk_ring_dequeue(struct rte_ring *ring, void **objects, unsigned int count) {
	return rte_ring_dequeue_burst(ring, objects, count, NULL);
}

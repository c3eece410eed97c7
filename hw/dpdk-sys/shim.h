// What Lethe uses of DPDK: its headers, and a function or constant for each thing in them that has no
// symbol, because it is `static inline` or a macro.
#pragma once

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_eth_ring.h>
#include <rte_version.h>

// The reason of the last failure, as errno has it.
int dpdk_errno(void);
// The lcore of the calling thread, or LCORE_ID_ANY.
unsigned int dpdk_lcore_id(void);

// rte_eth_rx_burst, and then a prefetch of what most frames have.
uint16_t dpdk_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count);
// rte_eth_tx_burst.
uint16_t dpdk_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count);
// rte_eth_tx_prepare.
uint16_t dpdk_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count);
// rte_pktmbuf_alloc_bulk: all of them, or a negative number and none.
int dpdk_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **frames, unsigned int count);
// What a driver needs to know of the headers to complete checksums; and, to cut a frame, of the TCP header and of the
// payload of a segment: otherwise 0.
void dpdk_set_tx_lens(struct rte_mbuf *frame, uint16_t link, uint16_t network, uint16_t transport, uint16_t segment);
// What dpdk_set_tx_lens has set, in its order: for tests.
void dpdk_tx_lens(const struct rte_mbuf *frame, uint16_t lens[4]);
// Whether the link is up, 0 or 1, and its speed in Mbit/s; a negative number if the driver cannot tell.
int dpdk_link(uint16_t port, uint32_t *speed);
// rte_ring_enqueue_burst and rte_ring_dequeue_burst.
unsigned int dpdk_ring_enqueue(struct rte_ring *ring, void *const *objects, unsigned int count);
unsigned int dpdk_ring_dequeue(struct rte_ring *ring, void **objects, unsigned int count);

static const uint64_t DPDK_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_RX_OFFLOAD_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t DPDK_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_TX_OFFLOAD_TCP_CKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
static const uint64_t DPDK_TX_OFFLOAD_TCP_TSO = RTE_ETH_TX_OFFLOAD_TCP_TSO;
static const uint64_t DPDK_TX_OFFLOAD_MBUF_FAST_FREE = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
static const uint64_t DPDK_RSS_IP_TCP = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP;
static const uint64_t DPDK_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t DPDK_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t DPDK_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t DPDK_RX_IP_CKSUM_NONE = RTE_MBUF_F_RX_IP_CKSUM_NONE;
static const uint64_t DPDK_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t DPDK_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t DPDK_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t DPDK_RX_L4_CKSUM_NONE = RTE_MBUF_F_RX_L4_CKSUM_NONE;
static const uint64_t DPDK_TX_IPV4 = RTE_MBUF_F_TX_IPV4;
static const uint64_t DPDK_TX_IPV6 = RTE_MBUF_F_TX_IPV6;
static const uint64_t DPDK_TX_IP_CKSUM = RTE_MBUF_F_TX_IP_CKSUM;
static const uint64_t DPDK_TX_TCP_CKSUM = RTE_MBUF_F_TX_TCP_CKSUM;
static const uint64_t DPDK_TX_TCP_SEG = RTE_MBUF_F_TX_TCP_SEG;
static const uint32_t DPDK_PTYPE_L4_MASK = RTE_PTYPE_L4_MASK;
static const uint32_t DPDK_PTYPE_L4_TCP = RTE_PTYPE_L4_TCP;
static const uint16_t DPDK_HEADROOM = RTE_PKTMBUF_HEADROOM;
static const int DPDK_ANY_SOCKET = SOCKET_ID_ANY;
static const unsigned int DPDK_RING_ONE_TO_ONE = RING_F_SP_ENQ | RING_F_SC_DEQ;

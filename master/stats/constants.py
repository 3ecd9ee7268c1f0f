"""Names that Envoy shows as soon as their scope exists, whose feature does not exist here: always 0.

Dashboards and alerts look for them. Only the reader knows them: no worker spends a word on them. A stat that somebody
does write wins, so a feature that is added needs no change here.
"""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CLUSTER_COUNTERS = _names("""
    assignment_stale assignment_timeout_received assignment_use_cached bind_errors lb_local_cluster_not_ok
    lb_recalculate_zone_structures lb_subsets_created lb_subsets_fallback lb_subsets_fallback_panic
    lb_subsets_removed lb_subsets_selected lb_zone_cluster_too_small lb_zone_no_capacity_left
    lb_zone_routing_all_directly lb_zone_routing_cross_zone lb_zone_routing_sampled original_dst_host_invalid
    retry_or_shadow_abandoned update_attempt update_empty update_failure update_no_rebuild update_success
    upstream_cx_connect_attempts_exceeded upstream_cx_connect_with_0_rtt upstream_cx_http3_total
    upstream_cx_max_duration_reached
    upstream_cx_preconnect_skipped upstream_flow_control_backed_up_total upstream_flow_control_drained_total
    upstream_flow_control_paused_reading_total upstream_flow_control_resumed_reading_total upstream_http3_broken
    upstream_internal_redirect_failed_total upstream_internal_redirect_succeeded_total upstream_rq_0rtt
    upstream_rq_maintenance_mode upstream_rq_max_duration_reached upstream_rq_per_try_idle_timeout
    upstream_rq_per_try_timeout upstream_rq_retry upstream_rq_retry_backoff_exponential
    upstream_rq_retry_backoff_ratelimited upstream_rq_retry_limit_exceeded upstream_rq_retry_overflow
    upstream_rq_retry_success upstream_rq_rx_reset_no_error
""")
"""Behind `cluster.<name>.`: retries, HTTP/3, zones, subsets, flow control."""

CLUSTER_GAUGES = _names("""
    lb_subsets_active upstream_cx_rx_bytes_buffered upstream_cx_tx_bytes_buffered upstream_queue_overloaded
    version warming_state
""")
"""Behind `cluster.<name>.`."""

CODEC_COUNTERS = _names("""
    dropped_headers_with_underscores metadata_not_supported_error requests_rejected_with_underscores_in_headers
    response_flood
""")
"""Behind `http1.`, and `cluster.<name>.http1.` once there was a connection."""

HTTP2_COUNTERS = _names("""
    deferred_stream_close headers_cb_no_stream metadata_empty_frames
""")
"""Behind `http2.` and `cluster.<name>.http2.`, once there was such a connection."""

HTTP2_GAUGES = _names("""
    nghttp2_downstream_connections nghttp2_upstream_connections oghttp2_downstream_connections
    oghttp2_upstream_connections outbound_control_frames_active outbound_frames_active
""")
"""The same."""

HTTP_COUNTERS = _names("""
    downstream_cx_http2_total downstream_cx_http3_total downstream_cx_max_duration_reached
    downstream_cx_max_requests_reached downstream_cx_overload_disable_keepalive downstream_cx_ssl_total
    downstream_cx_upgrades_total downstream_flow_control_paused_reading_total
    downstream_flow_control_resumed_reading_total downstream_rq_failed_path_normalization
    downstream_rq_http2_total downstream_rq_http3_total downstream_rq_max_duration_reached
    downstream_rq_overload_close downstream_rq_redirected_with_normalized_path
    downstream_rq_too_many_premature_resets rs_too_large
""")
"""Behind `http.<prefix>.` of every connection manager, the admin interface's too."""

HTTP_GAUGES = _names("""
    downstream_cx_http1_soft_drain downstream_cx_http2_active downstream_cx_http3_active
    downstream_cx_rx_bytes_buffered downstream_cx_ssl_active downstream_cx_tx_bytes_buffered
    downstream_cx_upgrades_active
""")
"""The same."""

ADMIN_HTTP_COUNTERS = _names("""
    downstream_cx_delayed_close_timeout downstream_cx_destroy_active_rq
    downstream_cx_destroy_local_active_rq downstream_cx_destroy_remote_active_rq
    downstream_cx_drain_close downstream_rq_header_timeout downstream_rq_idle_timeout
    downstream_rq_non_relative_path downstream_rq_rejected_via_ip_detection
    downstream_rq_response_before_rq_complete downstream_rq_rx_reset
    downstream_rq_timeout downstream_rq_too_large downstream_rq_tx_reset downstream_rq_ws_on_non_ws_route
""")
"""Behind `http.admin.`: what our admin interface does not tell apart."""

ROUTER_COUNTERS = _names("""
    no_cluster no_route passthrough_internal_redirect_bad_location passthrough_internal_redirect_no_route
    passthrough_internal_redirect_predicate passthrough_internal_redirect_too_many_redirects
    passthrough_internal_redirect_unsafe_scheme rq_direct_response rq_overload_local_reply rq_redirect
    rq_reset_after_downstream_response_started rq_total
""")
"""Behind `http.<prefix>.` where there is a router."""

TRACING_COUNTERS = _names("""
    tracing.client_enabled tracing.health_check tracing.not_traceable tracing.random_sampling
    tracing.service_forced
""")
"""The same."""

LISTENER_COUNTERS = _names("""
    downstream_cx_overflow downstream_cx_overload_reject downstream_cx_transport_socket_connect_timeout
    downstream_global_cx_overflow downstream_listener_filter_error downstream_listener_filter_remote_close
    downstream_pre_cx_timeout no_filter_chain_match
""")
"""Behind `listener.<address>.`."""

LISTENER_GAUGES = _names("""
    downstream_pre_cx_active
""")
"""The same."""

EXTENSION_COUNTERS = _names("""
    extension_config_missing network_extension_config_missing
""")
"""Behind `listener.<address>.`, but for the admin interface."""

LISTENER_HISTOGRAMS = _names("""
    connections_accepted_per_socket_event
""")
"""Behind `listener.<address>.`."""

GLOBAL_COUNTERS = _names("""
    cluster_manager.cluster_modified cluster_manager.cluster_removed cluster_manager.cluster_updated
    cluster_manager.cluster_updated_via_merge cluster_manager.update_merge_cancelled
    cluster_manager.update_out_of_merge_window envoy.overload_actions.reset_high_memory_stream.count
    filesystem.flushed_by_timer filesystem.reopen_failed filesystem.write_buffered filesystem.write_completed
    filesystem.write_failed http1.metadata_not_supported_error http1.response_flood
    listener_manager.listener_create_failure listener_manager.listener_in_place_updated
    listener_manager.listener_modified listener_manager.listener_removed listener_manager.listener_stopped
    main_thread.watchdog_mega_miss main_thread.watchdog_miss runtime.deprecated_feature_use runtime.load_error
    runtime.load_success runtime.override_dir_exists runtime.override_dir_not_exists
    server.debug_assertion_failures server.dropped_stat_flushes server.dynamic_unknown_fields
    server.envoy_bug_failures server.envoy_notifications server.main_thread.watchdog_mega_miss
    server.main_thread.watchdog_miss server.static_unknown_fields server.wip_protos workers.watchdog_mega_miss
    workers.watchdog_miss
""")
"""As they stand."""

GLOBAL_GAUGES = _names("""
    filesystem.write_total_buffered listener_manager.total_filter_chains_draining
    listener_manager.workers_pinned runtime.admin_overrides_active
    runtime.deprecated_feature_seen_since_process_start runtime.num_keys runtime.num_layers
    server.compilation_settings.fips_mode server.seconds_until_first_ocsp_response_expiring
    server.stats_recent_lookups server.version
""")
"""As they stand."""

GLOBAL_HISTOGRAMS = _names("""
    overload.refresh_interval_delay server.initialization_time_ms
""")
"""As they stand."""

WATCHDOG_COUNTERS = _names("""
    watchdog_mega_miss watchdog_miss
""")
"""Behind `server.worker_<index>.`."""

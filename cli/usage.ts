/** What `weave help` prints: to standard error, as in the original. */
export const USAGE = `Usage:

weave --help | help
      setup
      version

weave launch      [--password <pass>] [--trusted-subnets <cidr>,...]
                  [--encryption on|off] [--host <ip_address>] [--port <port>]
                  [--name <mac>] [--nickname <nickname>]
                  [--no-restart] [--foreground] [--resume] [--no-discovery]
                  [--conn-limit <count>] [--mtu <bytes>] [--no-fastdp]
                  [--datapath-threads <count>] [--offloads-off <name>,...]
                  [--ipalloc-range <cidr> [--ipalloc-default-subnet <cidr>]]
                  [--ipalloc-init <mode>]
                  [--no-dns] [--dns-domain <fqdn>] [--dns-ttl <seconds>]
                  [--dns-listen-address <ip_address>:<port>]
                  [--dns-fallback-timeout <duration>] [--resolv-conf <path>]
                  [--docker-api <endpoint>] [--docker-bridge <name>]
                  [--plugin=false] [--proxy=false] [-H <endpoint>] ...
                  [--tls] [--tlsverify] [--tlscacert <file>]
                  [--tlscert <file>] [--tlskey <file>] [--no-detect-tls]
                  [--hostname-from-label <label>] [--hostname-match <regexp>]
                  [--hostname-replacement <text>] [--rewrite-inspect]
                  [--no-default-ipalloc] [--no-rewrite-hosts]
                  [--without-dns] [--no-multicast-route]
                  [--weave-bridge <name>] [--http-addr <addr>]
                  [--status-addr <addr>] [--metrics-addr <addr>]
                  [--db-prefix <path>] [--log-level=debug|info|warning|error]
                  <peer> ...

weave connect     [--replace] [<peer> ...]
      forget      <peer> ...

weave env         [--restore]
      config

weave prime       [--timeout <seconds>]

weave attach      [<addr> ...] [--without-dns] [--rewrite-hosts]
                  [--add-host <host>:<ip_address> ...] [--name <name>]
                  [--no-multicast-route] [--timeout <seconds>] <container>
      detach      [<addr> ...] <container>

weave expose      [<addr> ...] [-h <name>] [--without-masquerade]
                  [--timeout <seconds>]
      hide        [<addr> ...]

weave dns-args
      dns-add     [<ip_address> ...] <container> [-h <name>]
      dns-add     <ip_address> ... -h <name>
      dns-remove  [<ip_address> ...] <container> [-h <name>]
      dns-remove  <ip_address> ... -h <name>
      dns-lookup  <name>

weave status      [targets | connections | peers | ipam | dns]
      report      [-f <format>]
      ps          [<container> ...]
      ipam        explain [<ip_address> | <peer_id>]

weave stop
      reset       [--force]
      rmpeer      [--force] <peer_id> ...

where <peer>    = <ip_address_or_fqdn>[:<port>]
      <cidr>    = <ip_address>/<routing_prefix_length>
      <addr>    = [ip:]<cidr> | net:<cidr> | net:default
      <peer_id> = <nickname> | <peer_name>
      <mode>    = consensus[=<count>] | seed=<peer_name>,... | observer
      <container> = <name> | <id> | netns:<name> | /path/of/a/netns | <pid>
      <endpoint>  = [tcp://][<ip_address>]:<port> | [unix://]/path
      <format>  = a template such as {{.Router.Name}}, or {{json .Router}}
`;

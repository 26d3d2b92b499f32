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
                  [--ipalloc-range <cidr> [--ipalloc-default-subnet <cidr>]]
                  [--ipalloc-init <mode>]
                  [--no-dns] [--dns-domain <fqdn>] [--dns-ttl <seconds>]
                  [--dns-listen-address <ip_address>:<port>]
                  [--dns-fallback-timeout <duration>] [--resolv-conf <path>]
                  [--weave-bridge <name>] [--http-addr <addr>]
                  [--status-addr <addr>] [--metrics-addr <addr>]
                  [--db-prefix <path>] [--log-level=debug|info|warning|error]
                  <peer> ...

weave connect     [--replace] [<peer> ...]
      forget      <peer> ...

weave prime       [--timeout <seconds>]

weave attach      [<addr> ...] [--name <name>] [--no-multicast-route]
                  [--timeout <seconds>] <netns>
      detach      [<addr> ...] <netns>

weave expose      [<addr> ...] [-h <name>] [--without-masquerade]
                  [--timeout <seconds>]
      hide        [<addr> ...]

weave dns-args
      dns-add     [<ip_address> ...] <netns> -h <name>
      dns-add     <ip_address> ... -h <name>
      dns-remove  [<ip_address> ...] <netns> [-h <name>]
      dns-remove  <ip_address> ... -h <name>
      dns-lookup  <name>

weave status      [targets | connections | peers | ipam | dns]
      report      [-f <format>]
      ps          [<netns> ...]
      ipam        explain [<ip_address> | <peer_id>]

weave stop
      reset       [--force]
      rmpeer      [--force] <peer_id> ...

where <peer>    = <ip_address_or_fqdn>[:<port>]
      <cidr>    = <ip_address>/<routing_prefix_length>
      <addr>    = [ip:]<cidr> | net:<cidr> | net:default
      <peer_id> = <nickname> | <peer_name>
      <mode>    = consensus[=<count>] | seed=<peer_name>,... | observer
      <netns>   = netns:<name> | /path/of/a/network/namespace | <pid>
      <format>  = a template such as {{.Router.Name}}, or {{json .Router}}
`;

import static net.bytebuddy.matcher.ElementMatchers.named;
import static net.bytebuddy.matcher.ElementMatchers.takesArguments;

import java.io.File;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import net.bytebuddy.ByteBuddy;
import net.bytebuddy.implementation.MethodDelegation;
import org.apache.beam.vendor.grpc.v1p60p1.io.grpc.netty.NettyServerBuilder;

/**
 * Makes Beam's gRPC servers in Java listen on loopback only. They accept anybody's pipelines, listen
 * on all interfaces, and have no option for it: {@code --job-host} only names the host to clients.
 */
public class Loopback {
  /** Writes a changed NettyServerBuilder, to be put in front of the class path. */
  public static void main(String[] arguments) throws Exception {
    new ByteBuddy()
        .redefine(NettyServerBuilder.class)
        .method(named("forPort").and(takesArguments(int.class)))
        .intercept(MethodDelegation.to(Loopback.class))
        .make()
        .saveIn(new File(arguments[0]));
  }

  public static NettyServerBuilder forPort(int port) {
    return NettyServerBuilder.forAddress(
        new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
  }
}

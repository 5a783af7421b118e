import java.util.Collections;
import org.apache.beam.sdk.util.construction.resources.PipelineResourcesDetector;

/**
 * Keeps Beam's job server from uploading its class path with each job. The runner's jars are in the
 * class path of every task manager, so all of it would be sent for nothing: 152 MB a job on Flink.
 */
public class StagesNothing implements PipelineResourcesDetector.Factory {
  /** Called by Beam, which does not use the constructor. */
  public static StagesNothing create() {
    return new StagesNothing();
  }

  @Override
  public PipelineResourcesDetector getPipelineResourcesDetector() {
    return classLoader -> Collections.emptyList();
  }
}

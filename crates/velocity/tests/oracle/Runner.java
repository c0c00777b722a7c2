import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.velocity.VelocityContext;
import org.apache.velocity.app.VelocityEngine;

/** Renders each line of standard input, a template in base64, and answers with a line: `ok`, a space and the output in base64, or `error`. */
public class Runner {
    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, true, "US-ASCII");
        String line;
        while ((line = in.readLine()) != null) {
            String template = new String(Base64.getDecoder().decode(line), StandardCharsets.UTF_8);
            out.println(answer(template));
        }
    }

    private static String answer(String template) {
        try {
            // Macros outlive a template, so each gets an engine of its own.
            VelocityEngine engine = new VelocityEngine();
            engine.setProperty("runtime.log.logsystem.class", "org.apache.velocity.runtime.log.NullLogChute");
            engine.setProperty("directive.foreach.maxloops", "1000");
            engine.setProperty("velocimacro.library", "");
            engine.init();
            StringWriter output = new StringWriter();
            engine.evaluate(context(), output, "template", template);
            return "ok " + Base64.getEncoder().encodeToString(output.toString().getBytes(StandardCharsets.UTF_8));
        } catch (Throwable failure) {
            String message = String.valueOf(failure.getMessage());
            return "error " + Base64.getEncoder().encodeToString(message.getBytes(StandardCharsets.UTF_8));
        }
    }

    /** The same variables as in `oracle.rs`. */
    private static VelocityContext context() {
        VelocityContext context = new VelocityContext();
        context.put("text", "Hello World");
        context.put("s", "str");
        context.put("empty", "");
        context.put("wide", "Gr\u00fc\u00dfe \ud83d\ude00 \u4f60\u597d");
        context.put("n", 5);
        context.put("zero", 0);
        context.put("big", 3000000000L);
        context.put("d", 2.5);
        context.put("yes", true);
        context.put("no", false);
        context.put("list", new ArrayList<Object>(Arrays.asList("a", "b", "c")));
        context.put("numbers", new ArrayList<Object>(Arrays.asList(3, 1, 2)));
        Map<String, Object> inner = new LinkedHashMap<>();
        inner.put("deep", "x");
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("k", "v");
        map.put("n", 1);
        map.put("map", inner);
        map.put("list", new ArrayList<Object>(Arrays.asList(1, "two")));
        context.put("map", map);
        List<Object> pets = new ArrayList<>();
        for (String name : new String[] {"cat", "dog", "bird"}) {
            Map<String, Object> pet = new LinkedHashMap<>();
            pet.put("name", name);
            pet.put("price", name.length() * 10.5);
            pets.add(pet);
        }
        context.put("pets", pets);
        return context;
    }
}

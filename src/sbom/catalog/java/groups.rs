//! The groups of well-known archives that do not name theirs: those that were not built
//! by Maven.

/// Groups with their artifacts. A `*` at the end stands for any rest.
const GROUPS: &[(&str, &str)] = &[
    ("antlr", "antlr"),
    ("aopalliance", "aopalliance"),
    ("asm", "asm asm-*"),
    (
        "avalon-framework",
        "avalon-framework avalon-framework-api avalon-framework-impl",
    ),
    ("backport-util-concurrent", "backport-util-concurrent"),
    ("bcel", "bcel"),
    ("bsf", "bsf"),
    ("c3p0", "c3p0"),
    ("cglib", "cglib cglib-nodep cglib-full"),
    ("ch.qos.logback", "logback-*"),
    (
        "com.fasterxml.jackson.core",
        "jackson-core jackson-databind jackson-annotations",
    ),
    (
        "com.github.ben-manes.caffeine",
        "caffeine guava-testlib jcache",
    ),
    ("com.google.auto.value", "auto-value auto-value-annotations"),
    ("com.google.code.findbugs", "jsr305 findbugs-annotations"),
    ("com.google.code.gson", "gson"),
    (
        "com.google.guava",
        "guava guava-jdk5 listenablefuture failureaccess",
    ),
    ("com.google.inject", "guice"),
    (
        "com.google.protobuf",
        "protobuf-java protobuf-javalite protobuf-java-util",
    ),
    ("com.googlecode.json-simple", "json-simple"),
    ("com.h2database", "h2"),
    ("com.hazelcast", "hazelcast"),
    ("com.ibm.icu", "icu4j icu4j-charset icu4j-localespi"),
    ("com.jcraft", "jsch jzlib"),
    ("com.lowagie", "itext"),
    ("com.microsoft.sqlserver", "mssql-jdbc"),
    ("com.mysql", "mysql-connector-j"),
    ("com.netflix.archaius", "archaius-*"),
    ("com.netflix.eureka", "eureka-client eureka-core"),
    ("com.netflix.hystrix", "hystrix-*"),
    ("com.netflix.ribbon", "ribbon ribbon-*"),
    (
        "com.oracle.database.jdbc",
        "ojdbc8 ojdbc10 ojdbc11 ojdbc17 ucp ucp11",
    ),
    ("com.querydsl", "querydsl-*"),
    ("com.squareup.moshi", "moshi moshi-*"),
    (
        "com.squareup.okhttp3",
        "okhttp okhttp-* mockwebserver logging-interceptor",
    ),
    ("com.squareup.okio", "okio okio-jvm okio-fakefilesystem-jvm"),
    (
        "com.squareup.retrofit2",
        "retrofit converter-gson converter-jackson converter-moshi",
    ),
    ("com.sun.mail", "javax.mail jakarta.mail"),
    ("com.sun.xml.bind", "jaxb-impl jaxb-core jaxb-xjc"),
    ("com.thoughtworks.xstream", "xstream"),
    ("com.typesafe.akka", "akka-*"),
    ("com.unboundid", "unboundid-ldapsdk"),
    ("com.zaxxer", "HikariCP"),
    (
        "commons-beanutils",
        "commons-beanutils commons-beanutils-core",
    ),
    ("commons-chain", "commons-chain"),
    ("commons-cli", "commons-cli"),
    ("commons-codec", "commons-codec"),
    ("commons-collections", "commons-collections"),
    ("commons-configuration", "commons-configuration"),
    ("commons-daemon", "commons-daemon"),
    ("commons-dbcp", "commons-dbcp"),
    ("commons-dbutils", "commons-dbutils"),
    ("commons-digester", "commons-digester"),
    ("commons-discovery", "commons-discovery"),
    ("commons-el", "commons-el"),
    ("commons-fileupload", "commons-fileupload"),
    ("commons-httpclient", "commons-httpclient"),
    ("commons-io", "commons-io"),
    ("commons-jelly", "commons-jelly commons-jelly-*"),
    ("commons-jexl", "commons-jexl"),
    ("commons-jxpath", "commons-jxpath"),
    ("commons-lang", "commons-lang"),
    ("commons-logging", "commons-logging commons-logging-api"),
    ("commons-net", "commons-net"),
    ("commons-pool", "commons-pool"),
    ("commons-validator", "commons-validator"),
    ("dom4j", "dom4j"),
    ("io.grpc", "grpc-*"),
    ("io.micrometer", "micrometer-* context-propagation"),
    (
        "io.opentelemetry",
        "opentelemetry-api opentelemetry-context opentelemetry-sdk opentelemetry-sdk-* \
      opentelemetry-exporter-* opentelemetry-extension-*",
    ),
    (
        "io.projectreactor",
        "reactor-core reactor-test reactor-tools",
    ),
    (
        "io.projectreactor.addons",
        "reactor-adapter reactor-extra reactor-pool",
    ),
    ("io.projectreactor.kafka", "reactor-kafka"),
    ("io.projectreactor.netty", "reactor-netty reactor-netty-*"),
    ("io.reactivex", "rxjava"),
    ("io.rsocket", "rsocket-*"),
    (
        "io.zipkin.reporter2",
        "zipkin-reporter zipkin-reporter-* zipkin-sender-*",
    ),
    ("jakarta.servlet", "jakarta.servlet-api"),
    ("javax.activation", "activation"),
    ("javax.annotation", "jsr250-api"),
    ("javax.cache", "cache-api"),
    ("javax.inject", "javax.inject"),
    ("javax.jms", "jms"),
    ("javax.mail", "mail mailapi"),
    ("javax.persistence", "persistence-api"),
    (
        "javax.servlet",
        "servlet-api jstl jsp-api javax.servlet-api",
    ),
    ("javax.servlet.jsp", "javax.servlet.jsp-api"),
    ("javax.transaction", "jta"),
    ("javax.validation", "validation-api"),
    ("javax.xml.bind", "jaxb-api"),
    ("jaxen", "jaxen"),
    ("jdom", "jdom"),
    ("joda-time", "joda-time"),
    ("junit", "junit junit-dep"),
    ("log4j", "log4j apache-log4j-extras"),
    ("logkit", "logkit"),
    ("mysql", "mysql-connector-java"),
    ("net.bytebuddy", "byte-buddy byte-buddy-*"),
    ("net.java.dev.jna", "jna jna-platform jna-jpms platform"),
    ("net.jcip", "jcip-annotations"),
    ("net.sf.ehcache", "ehcache ehcache-core"),
    ("net.sf.jopt-simple", "jopt-simple"),
    ("net.sf.saxon", "Saxon-HE saxon"),
    ("net.sf.trove4j", "trove4j"),
    ("net.sourceforge.jexcelapi", "jxl"),
    ("net.sourceforge.jtds", "jtds"),
    ("net.sourceforge.nekohtml", "nekohtml"),
    ("ognl", "ognl"),
    (
        "org.antlr",
        "antlr4 antlr4-runtime antlr-runtime stringtemplate ST4",
    ),
    ("org.apache.ant", "ant ant-*"),
    (
        "org.apache.derby",
        "derby derbyclient derbynet derbyshared derbytools",
    ),
    (
        "org.apache.kafka",
        "kafka-clients kafka-streams kafka-streams-* kafka-metadata kafka-raft kafka-server \
      kafka-server-common kafka-storage kafka-storage-api kafka-tools kafka-tools-api kafka-group-coordinator \
      kafka-group-coordinator-api kafka-log4j-appender kafka-shell kafka-transaction-coordinator kafka-coordinator-common \
      kafka_2.* connect-api connect-basic-auth-extension connect-file connect-json connect-mirror \
      connect-mirror-client connect-runtime connect-transforms",
    ),
    ("org.apache.lucene", "lucene-*"),
    ("org.apache.poi", "poi poi-*"),
    ("org.apache.solr", "solr-*"),
    (
        "org.apache.tomcat",
        "tomcat-annotations-api tomcat-api tomcat-catalina tomcat-coyote tomcat-dbcp tomcat-el-api \
      tomcat-jasper tomcat-jasper-el tomcat-jdbc tomcat-jni tomcat-jsp-api tomcat-juli tomcat-servlet-api tomcat-util \
      tomcat-util-scan tomcat-websocket tomcat-websocket-api",
    ),
    ("org.apache.tomcat.embed", "tomcat-embed-*"),
    ("org.apache.velocity", "velocity"),
    ("org.apache.xmlbeans", "xmlbeans"),
    ("org.apache.xmlgraphics", "batik-* fop xmlgraphics-commons"),
    ("org.apiguardian", "apiguardian-api"),
    ("org.aspectj", "aspectjrt aspectjtools aspectjweaver"),
    (
        "org.bouncycastle",
        "bcprov-* bcpkix-* bcutil-* bcpg-* bcmail-* bcjmail-* bctls-* bctsp-* bctest-* bc-fips bcpkix-fips bctls-fips",
    ),
    (
        "org.checkerframework",
        "checker-qual checker-compat-qual checker",
    ),
    ("org.clojure", "clojure"),
    ("org.codehaus.groovy", "groovy groovy-*"),
    (
        "org.codehaus.jackson",
        "jackson-core-asl jackson-mapper-asl jackson-jaxrs jackson-xc",
    ),
    ("org.codehaus.janino", "janino commons-compiler"),
    (
        "org.codehaus.woodstox",
        "stax2-api wstx-asl woodstox-core-asl",
    ),
    ("org.conscrypt", "conscrypt-openjdk-uber conscrypt-openjdk"),
    ("org.eclipse.jdt", "ecj"),
    (
        "org.eclipse.platform",
        "org.eclipse.osgi org.eclipse.osgi.* org.eclipse.equinox.* org.eclipse.core.* org.eclipse.text",
    ),
    ("org.freemarker", "freemarker"),
    ("org.fusesource.jansi", "jansi"),
    ("org.glassfish.jaxb", "txw2"),
    (
        "org.hamcrest",
        "hamcrest hamcrest-core hamcrest-library hamcrest-all",
    ),
    ("org.hdrhistogram", "HdrHistogram"),
    (
        "org.hibernate",
        "hibernate-core hibernate-entitymanager hibernate-annotations hibernate-jpamodelgen hibernate-ehcache \
      hibernate-java8 hibernate-envers hibernate-hikaricp hibernate-spatial hibernate-jcache hibernate-testing",
    ),
    ("org.hibernate.common", "hibernate-commons-annotations"),
    (
        "org.hibernate.javax.persistence",
        "hibernate-jpa-2.0-api hibernate-jpa-2.1-api",
    ),
    ("org.hibernate.orm", "hibernate-community-dialects"),
    ("org.hsqldb", "hsqldb"),
    ("org.jboss.logging", "jboss-logging"),
    ("org.jdom", "jdom2"),
    ("org.jetbrains.kotlin", "kotlin-*"),
    ("org.jetbrains.kotlinx", "kotlinx-* atomicfu-jvm"),
    ("org.jfree", "jfreechart jcommon"),
    ("org.jline", "jline"),
    ("org.jooq", "jooq jooq-* jool"),
    ("org.jspecify", "jspecify"),
    ("org.junit.jupiter", "junit-jupiter junit-jupiter-*"),
    ("org.junit.platform", "junit-platform-*"),
    ("org.junit.vintage", "junit-vintage-engine"),
    ("org.latencyutils", "LatencyUtils"),
    ("org.liquibase", "liquibase-core"),
    ("org.lz4", "lz4-java"),
    ("org.mockito", "mockito-*"),
    (
        "org.mongodb",
        "mongodb-driver-* mongo-java-driver bson bson-record-codec",
    ),
    ("org.mozilla", "rhino rhino-*"),
    ("org.neo4j.driver", "neo4j-java-driver"),
    ("org.objenesis", "objenesis"),
    (
        "org.opensearch",
        "opensearch opensearch-core opensearch-x-content opensearch-common",
    ),
    ("org.opentest4j", "opentest4j"),
    ("org.postgresql", "postgresql"),
    ("org.projectlombok", "lombok"),
    ("org.python", "jython jython-standalone"),
    ("org.quartz-scheduler", "quartz quartz-jobs"),
    ("org.reactivestreams", "reactive-streams reactive-streams-*"),
    ("org.rocksdb", "rocksdbjni"),
    (
        "org.scala-lang",
        "scala-library scala-reflect scala-compiler scalap scala3-*",
    ),
    (
        "org.scala-lang.modules",
        "scala-xml_* scala-parser-combinators_* scala-java8-compat_* scala-collection-compat_*",
    ),
    ("org.seleniumhq.selenium", "selenium-*"),
    ("org.spockframework", "spock-*"),
    (
        "org.springframework",
        "spring spring-aop spring-aspects spring-beans spring-context spring-context-indexer spring-context-support \
      spring-core spring-core-test spring-dao spring-expression spring-instrument spring-jcl spring-jdbc spring-jms spring-messaging \
      spring-orm spring-oxm spring-r2dbc spring-support spring-test spring-tx spring-web spring-webflux spring-webmvc \
      spring-webmvc-portlet spring-websocket",
    ),
    ("org.springframework.ai", "spring-ai-*"),
    (
        "org.springframework.amqp",
        "spring-amqp spring-rabbit spring-rabbit-*",
    ),
    ("org.springframework.batch", "spring-batch-*"),
    ("org.springframework.boot", "spring-boot spring-boot-*"),
    ("org.springframework.cloud", "spring-cloud-*"),
    ("org.springframework.data", "spring-data-*"),
    ("org.springframework.graphql", "spring-graphql"),
    ("org.springframework.hateoas", "spring-hateoas"),
    ("org.springframework.integration", "spring-integration-*"),
    (
        "org.springframework.kafka",
        "spring-kafka spring-kafka-test",
    ),
    ("org.springframework.ldap", "spring-ldap-*"),
    ("org.springframework.plugin", "spring-plugin-core"),
    ("org.springframework.restdocs", "spring-restdocs-*"),
    ("org.springframework.retry", "spring-retry"),
    ("org.springframework.security", "spring-security-*"),
    (
        "org.springframework.security.oauth",
        "spring-security-oauth2",
    ),
    ("org.springframework.session", "spring-session-*"),
    ("org.springframework.shell", "spring-shell-*"),
    ("org.springframework.vault", "spring-vault-core"),
    ("org.springframework.ws", "spring-ws-* spring-xml"),
    ("org.testng", "testng"),
    ("org.xerial", "sqlite-jdbc"),
    ("org.xerial.snappy", "snappy-java"),
    ("org.yaml", "snakeyaml"),
    ("oro", "oro"),
    ("pull-parser", "pull-parser"),
    ("regexp", "regexp"),
    ("relaxngDatatype", "relaxngDatatype"),
    ("stax", "stax-api"),
    ("wsdl4j", "wsdl4j"),
    ("xalan", "xalan serializer"),
    ("xerces", "xercesImpl xmlParserAPIs"),
    ("xml-apis", "xml-apis xml-apis-ext"),
    ("xml-resolver", "xml-resolver"),
    ("xmlpull", "xmlpull"),
    ("xom", "xom"),
    ("xpp3", "xpp3 xpp3_min xpp3_xpath"),
];

/// Groups that changed, with their successors and the first number of the version since
/// then.
const SUCCESSORS: &[(&str, &str, u32)] = &[
    ("asm", "org.ow2.asm", 4),
    ("dom4j", "org.dom4j", 2),
    ("org.codehaus.groovy", "org.apache.groovy", 4),
    ("org.hibernate", "org.hibernate.orm", 6),
];

/// The group of the archive called `artifact`, if it is well known: rather one that names
/// all of it.
pub(super) fn of(artifact: &str, version: &str) -> Option<&'static str> {
    let group = first_group(artifact)?;
    let mut successors = SUCCESSORS.iter();
    let later = successors.find(|(old, ..)| *old == group);
    let major: Option<u32> = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    Some(match later {
        Some((_, new, since)) if major >= Some(*since) => new,
        _ => group,
    })
}

fn first_group(artifact: &str) -> Option<&'static str> {
    let whole = |pattern: &str| pattern == artifact;
    let begin = |pattern: &str| {
        let begin = pattern.strip_suffix('*');
        begin.is_some_and(|begin| artifact.starts_with(begin))
    };
    let find = |fits: &dyn Fn(&str) -> bool| {
        let mut groups = GROUPS.iter();
        groups.find(|(_, artifacts)| artifacts.split_whitespace().any(fits))
    };
    let found = find(&whole).or_else(|| find(&begin));
    found.map(|(group, _)| *group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_archives_have_their_group() {
        assert_eq!(of("spring-core", ""), Some("org.springframework"));
        assert_eq!(
            of("spring-boot-actuator", "3"),
            Some("org.springframework.boot")
        );
        assert_eq!(
            of("spring-security-oauth2", ""),
            Some("org.springframework.security.oauth")
        );
        assert_eq!(of("kotlin-stdlib", ""), Some("org.jetbrains.kotlin"));
        assert_eq!(of("something", "1"), None);
        assert_eq!(of("asm-util", "3.3"), Some("asm"));
        assert_eq!(of("asm-util", "9.6"), Some("org.ow2.asm"));
        let mut names: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| names.split_whitespace())
            .collect();
        names.sort_unstable();
        assert!(
            names.windows(2).all(|pair| pair[0] != pair[1]),
            "a name is in two groups"
        );
    }
}
